//! Which channel speaks next: a few say most of it, as on the platform, or all the same.

/// A pseudo-random sequence, the same in every run.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Self {
        Self(0x9E37_79B9_7F4A_7C15)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        // The low bits of a bare xorshift are its weak ones.
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        scaled(self.next() >> 32, bound)
    }
}

/// A 32-bit number spread over 0 to `bound` - 1.
fn scaled(number: u64, bound: usize) -> usize {
    usize::try_from((number * bound as u64) >> 32).expect("it is below a usize")
}

/// Draws channels by their share of the lines: one table look-up each (Walker's alias method).
#[derive(Clone, Debug)]
pub(crate) struct Channels {
    slots: Vec<Slot>,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Of 2³²: how often the slot's own channel is meant, and else `other`.
    own: u64,
    channel: u32,
    other: u32,
}

impl Channels {
    /// Shares fall with the rank to the power of `exponent`; 0: all the same.
    ///
    /// Ranks are scattered over the channels, so that the busy ones do not all share one connection.
    pub(crate) fn new(n_channels: usize, exponent: f64) -> Self {
        let mut by_rank: Vec<u32> = (0..u32::try_from(n_channels).unwrap_or(u32::MAX)).collect();
        let mut random = Random::new();
        for rank in (1..by_rank.len()).rev() {
            by_rank.swap(rank, random.below(rank + 1));
        }
        let weights: Vec<f64> = (1..=n_channels).map(|rank| (rank as f64).powf(-exponent)).collect();
        Self { slots: aliases(&weights, &by_rank) }
    }

    pub(crate) fn draw(&self, random: &mut Random) -> usize {
        let number = random.next();
        let slot = self.slots[scaled(number >> 32, self.slots.len())];
        let channel = if (number & 0xFFFF_FFFF) < slot.own { slot.channel } else { slot.other };
        channel as usize
    }
}

fn aliases(weights: &[f64], by_rank: &[u32]) -> Vec<Slot> {
    const WHOLE: f64 = 4_294_967_296.0;
    let mean = weights.iter().sum::<f64>() / weights.len() as f64;
    let mut left: Vec<f64> = weights.iter().map(|weight| weight / mean).collect();
    let mut slots: Vec<Slot> =
        by_rank.iter().map(|channel| Slot { own: 1 << 32, channel: *channel, other: *channel }).collect();
    let (mut small, mut large): (Vec<usize>, Vec<usize>) =
        (0..left.len()).partition(|rank| left[*rank] < 1.0);
    while let (Some(rank), Some(donor)) = (small.pop(), large.last().copied()) {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it lies between 0 and 2^32"
        )]
        let own = (left[rank] * WHOLE) as u64;
        slots[rank].own = own;
        slots[rank].other = by_rank[donor];
        left[donor] -= 1.0 - left[rank];
        if left[donor] < 1.0 {
            large.pop();
            small.push(donor);
        }
    }
    slots
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(n_channels: usize, exponent: f64, n_draws: usize) -> Vec<usize> {
        let channels = Channels::new(n_channels, exponent);
        let mut random = Random::new();
        let mut counts = vec![0; n_channels];
        for _ in 0..n_draws {
            counts[channels.draw(&mut random)] += 1;
        }
        counts
    }

    #[test]
    fn shares_fall_with_the_rank() {
        let mut counts = counts(100, 1.0, 1_000_000);
        counts.sort_unstable_by(|one, other| other.cmp(one));
        // The hundredth harmonic number is 5.187: the first has 19.3 %, the second half of it.
        assert!((191_000..195_000).contains(&counts[0]), "{counts:?}");
        assert!((95_000..98_000).contains(&counts[1]), "{counts:?}");
        assert!((1_700..2_200).contains(&counts[99]), "{counts:?}");
    }

    #[test]
    fn without_an_exponent_all_are_the_same() {
        let counts = counts(50, 0.0, 1_000_000);
        assert!(counts.iter().all(|count| (19_000..21_000).contains(count)), "{counts:?}");
    }

    #[test]
    fn one_channel_takes_everything() {
        assert_eq!(counts(1, 1.0, 1000), [1000]);
    }
}
