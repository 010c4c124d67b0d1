//! The desktop session that a process belongs to, as far as its variables tell: whether there is a D-Bus to
//! ask for a keyring, known before anything is asked.

use std::path::PathBuf;

/// What names the session's D-Bus. Nothing is looked at before a keyring is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesktopSession {
    /// `DBUS_SESSION_BUS_ADDRESS`.
    pub bus: Option<String>,
    /// `XDG_RUNTIME_DIR`, where the bus is when nothing names it.
    pub runtime_folder: Option<PathBuf>,
}

impl DesktopSession {
    /// The address of the bus; `None` where there is none, which costs one look at a folder at most.
    #[cfg(target_os = "linux")]
    pub(super) fn address(&self) -> Option<String> {
        if let Some(named) = &self.bus {
            // `disabled:` is how a bus is switched off, and `autolaunch:` would start one that nobody else is on.
            return Some(named.clone())
                .filter(|named| !named.starts_with("disabled:") && !named.contains("autolaunch:"));
        }
        // "If the DBUS_SESSION_BUS_ADDRESS environment variable is not set … unix:path=$XDG_RUNTIME_DIR/bus" is what
        // every library tries; without the variable only systemd's own place is left.
        let folder = self.runtime_folder.clone().unwrap_or_else(|| {
            let user = rustix::process::getuid().as_raw();
            format!("/run/user/{user}").into()
        });
        let socket = folder.join("bus");
        socket.exists().then(|| format!("unix:path={}", socket.display()))
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;

    #[test]
    fn a_bus_is_one_that_is_named_or_where_systemd_puts_it() {
        let folder = tempfile::tempdir().unwrap();
        let session = |bus: Option<&str>| DesktopSession {
            bus: bus.map(str::to_owned),
            runtime_folder: Some(folder.path().to_owned()),
        };
        for (named, address) in [
            (Some("unix:path=/run/bus"), Some("unix:path=/run/bus")),
            (Some("disabled:"), None),
            (Some("autolaunch:"), None),
            (None, None),
        ] {
            assert_eq!(session(named).address().as_deref(), address, "{named:?}");
        }
        let socket = folder.path().join("bus");
        let _listens = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert_eq!(session(None).address(), Some(format!("unix:path={}", socket.display())));
    }
}
