//! Whose a check is: a process that others can ask for, if they share its machine.

use std::{fs, io, os::unix::fs::MetadataExt as _};

/// Whether somebody still waits for a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Alive,
    Gone,
    /// On another machine, in another container, of another user, or before a restart.
    Unknown,
}

/// This process. `None` where there is no `/proc` to find it by.
pub(super) fn own() -> Option<String> {
    let pid = std::process::id();
    Some(format!("{} {pid} {}", place()?, begun(&fs::read_to_string("/proc/self/stat").ok()?)?))
}

pub(super) fn standing(owner: &str) -> Standing {
    let Some((known, begun_at)) = owner.rsplit_once(' ') else { return Standing::Unknown };
    let Some((there, pid)) = known.rsplit_once(' ') else { return Standing::Unknown };
    if pid.parse::<u32>().is_err() || place().is_none_or(|here| here != there) {
        return Standing::Unknown;
    }
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        // A number is given to another process in time.
        Ok(stat) if begun(&stat).is_some_and(|begun| begun == begun_at) => Standing::Alive,
        Ok(_) => Standing::Gone,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Standing::Gone,
        Err(_) => Standing::Unknown,
    }
}

/// Where a process id means this process: this machine since its start, this namespace, this user. An agent in a container
/// counts its processes anew.
fn place() -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    let user = fs::metadata("/proc/self").ok()?.uid();
    Some(format!("{} {} {user}", boot.trim(), namespace.display()))
}

/// When a process began, from its `stat`: the 22nd member, counted from behind the name, which may hold anything. One that
/// has ended and waits for its parent has none.
fn begun(stat: &str) -> Option<&str> {
    let (_, members) = stat.rsplit_once(')')?;
    let mut members = members.split_whitespace();
    let state = members.next()?;
    if ["Z", "X"].contains(&state) { None } else { members.nth(18) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_number_and_its_beginning() {
        let own = own().expect("Linux has /proc");
        assert_eq!(standing(&own), Standing::Alive);
        let (known, _) = own.rsplit_once(' ').unwrap();
        assert_eq!(standing(&format!("{known} 1")), Standing::Gone, "another one has the number now");
        assert_eq!(standing(&own.replacen(' ', " another ", 1)), Standing::Unknown);
        assert_eq!(standing("nonsense"), Standing::Unknown);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let (place, _) = known.rsplit_once(' ').unwrap();
        let of_child = format!("{place} {} 7", child.id());
        child.wait().unwrap();
        assert_eq!(standing(&of_child), Standing::Gone);
    }

    #[test]
    fn a_name_may_hold_anything_and_the_dead_have_no_beginning() {
        let rest = "1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4242 999";
        assert_eq!(begun(&format!("7 (a) b) S {rest}")), Some("4242"));
        assert_eq!(begun(&format!("7 (a) Z {rest}")), None);
    }
}
