//! The Secret Service of a Linux desktop (GNOME Keyring, `KWallet`, `KeePassXC`), asked over D-Bus.
//!
//! The crate that keeps secrets there unlocks what is locked, and that is a window which waits for a person
//! without an end. So the bus is asked first, with an end, whether all that we are going to touch is unlocked.

use std::{collections::HashMap, io, sync::Arc, time::Duration};

use keyring_core::CredentialStore;
use serde::{Serialize, de::DeserializeOwned};
use zbus::{
    blocking::{Connection, connection::Builder},
    zvariant::{DynamicType, OwnedObjectPath, OwnedValue, Type},
};

use super::store::{Problem, failed};

const SERVICE: &str = "org.freedesktop.secrets";
const BUS: &str = "org.freedesktop.DBus";

/// Opens the service for the entry that is kept as `service` and `user`.
pub(super) fn open(address: &str, service: &str, user: &str, limit: Duration) -> Result<Arc<CredentialStore>, Problem> {
    Session { bus: connect(address, limit)? }.look(service, user)?;
    // It finds the bus by itself, by the same variables.
    Ok(zbus_secret_service_keyring_store::Store::new().map_err(failed)?)
}

fn connect(address: &str, limit: Duration) -> Result<Connection, Problem> {
    let bus = Builder::address(address).and_then(|builder| builder.method_timeout(limit).build());
    bus.map_err(|error| Problem::Absent(format!("no D-Bus answers at {address}: {error}")))
}

struct Session {
    bus: Connection,
}

impl Session {
    /// Whether the entry can be read and made without anybody being asked.
    fn look(&self, service: &str, user: &str) -> Result<(), Problem> {
        if !self.ask::<bool>((BUS, "/org/freedesktop/DBus", BUS), "NameHasOwner", &SERVICE)? {
            // One that is started when it is first called is there, too.
            let names: Vec<String> = self.ask((BUS, "/org/freedesktop/DBus", BUS), "ListActivatableNames", &())?;
            if !names.iter().any(|name| name == SERVICE) {
                return Err(Problem::Absent("no Secret Service is on the session's D-Bus".to_owned()));
            }
        }
        let place = (SERVICE, "/org/freedesktop/secrets", "org.freedesktop.Secret.Service");
        let collection: OwnedObjectPath = self.ask(place, "ReadAlias", &"default")?;
        // "If no such collection exists, the path is '/'" — Secret Service API, ReadAlias.
        if collection.as_str() == "/" {
            return Err(Problem::Absent("the Secret Service has no default keyring".to_owned()));
        }
        let property = ("org.freedesktop.Secret.Collection", "Locked");
        let properties = (SERVICE, collection.as_str(), "org.freedesktop.DBus.Properties");
        let locked: OwnedValue = self.ask(properties, "Get", &property)?;
        if locked.downcast_ref::<bool>().map_err(failed)? {
            return Err(Problem::Locked);
        }
        // An entry of ours that somebody has moved to another keyring, which is locked, would be unlocked.
        let wanted = HashMap::from([("service", service), ("username", user)]);
        let (_, locked): (Vec<OwnedObjectPath>, Vec<OwnedObjectPath>) = self.ask(place, "SearchItems", &wanted)?;
        if locked.is_empty() { Ok(()) } else { Err(Problem::Locked) }
    }

    fn ask<T: DeserializeOwned + Type>(
        &self,
        (service, path, interface): (&str, &str, &str),
        method: &str,
        arguments: &(impl Serialize + DynamicType),
    ) -> Result<T, Problem> {
        let answer = self.bus.call_method(Some(service), path, Some(interface), method, arguments);
        answer.and_then(|answer| answer.body().deserialize()).map_err(|error| match error {
            zbus::Error::InputOutput(error) if error.kind() == io::ErrorKind::TimedOut => Problem::TimedOut,
            other => failed(format!("{method}: {other}")),
        })
    }
}
