//! Faults that must stay where they are: modules that panic, fail, sleep and spin; a full disk; kill -9 at every moment of an effect.

mod disk;
mod effects;
mod kill;
mod modules;
