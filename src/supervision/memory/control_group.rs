//! The memory limit that the kernel enforces on the control group of this process, in both of its versions.
//!
//! A group's limit binds those below it, so the least one on the way up to the root counts. In a container the root is
//! the container's own group.

use std::fs;
use std::path::{Path, PathBuf};

/// Version 1 says "no limit" with the largest multiple of a page; nobody means as much as this.
const UNLIMITED_FROM: u64 = 1 << 60;

/// One hierarchy of control groups: where it is mounted and what its limits' files are called.
struct Hierarchy {
    mount: &'static str,
    limit_file: &'static str,
}

const UNIFIED: Hierarchy = Hierarchy { mount: "", limit_file: "memory.max" };
const VERSION_1: Hierarchy = Hierarchy { mount: "memory", limit_file: "memory.limit_in_bytes" };

/// Where to look; a folder of its own in tests.
#[derive(Debug)]
pub(super) struct ControlGroup {
    root: PathBuf,
    /// What `/proc/self/cgroup` says: one line `number:controllers:path` a hierarchy.
    membership: String,
}

impl ControlGroup {
    pub(super) fn of_this_process() -> Self {
        // Absent on systems without control groups: then no limit is found either.
        let membership = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        Self { root: PathBuf::from("/sys/fs/cgroup"), membership }
    }

    /// The least limit on the way up. `None`: there is none.
    pub(super) fn limit_bytes(&self) -> Option<u64> {
        self.membership.lines().filter_map(|line| self.limit_of(line)).min()
    }

    fn limit_of(&self, line: &str) -> Option<u64> {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        let hierarchy = match controllers {
            "" => UNIFIED,
            names if names.split(',').any(|name| name == "memory") => VERSION_1,
            _ => return None,
        };
        let mount = self.root.join(hierarchy.mount);
        let group = Path::new(group.trim_start_matches('/'));
        let files = group.ancestors().map(|folder| mount.join(folder).join(hierarchy.limit_file));
        files.filter_map(|file| read_limit(&file)).min()
    }
}

/// A number of bytes; `max`, a file that is not there and what is no limit in earnest are none.
fn read_limit(file: &Path) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok().filter(|bytes| *bytes < UNLIMITED_FROM)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree with these files, for a process with that membership.
    fn limit(membership: &str, files: &[(&str, &str)]) -> Option<u64> {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        ControlGroup { root: folder.path().to_owned(), membership: membership.to_owned() }.limit_bytes()
    }

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let files = [
            ("system.slice/memory.max", "536870912\n"),
            ("system.slice/waddlebot.service/memory.max", "1073741824\n"),
        ];
        assert_eq!(limit("0::/system.slice/waddlebot.service\n", &files), Some(536_870_912));
        assert_eq!(limit("0::/other.slice\n", &files), None);
    }

    #[test]
    fn in_a_container_the_root_is_its_own_group() {
        assert_eq!(limit("0::/\n", &[("memory.max", "268435456\n")]), Some(268_435_456));
        assert_eq!(limit("0::/\n", &[("memory.max", "max\n")]), None);
    }

    #[test]
    fn version_1_is_read_by_its_own_names() {
        let membership = "5:devices:/a\n4:memory:/docker/c0ffee\n0::/\n";
        let file = "memory/memory.limit_in_bytes";
        assert_eq!(limit(membership, &[(file, "134217728\n")]), Some(134_217_728));
        assert_eq!(limit(membership, &[(file, "9223372036854771712\n")]), None);
    }

    #[test]
    fn without_control_groups_there_is_no_limit() {
        assert_eq!(limit("", &[("memory.max", "1\n")]), None);
    }
}
