//! A small HTTP server to ship: it shows its version, finishes what it has begun when it is told to
//! end, and misbehaves on request, so that every way a rollout can go can be seen.
#![forbid(unsafe_code)]

mod request;
mod server;
mod socket;
mod trouble;

use std::{env, io, net::TcpListener, process::ExitCode, thread};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    iterator::Signals,
};

use crate::{
    server::{Health, Server, Site},
    trouble::{OnSigterm, Trouble},
};

fn main() -> ExitCode {
    let mut words = env::args().skip(1);
    match words.next().as_deref() {
        None => {}
        // What runs beside the server: before a rollout, or by hand.
        Some("migrate") => return migrate(words.next().as_deref()),
        Some(other) => {
            eprintln!("hello: there is no command {other}");
            return ExitCode::from(2);
        }
    }
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hello: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A migration that ends with the code that is asked for.
fn migrate(code: Option<&str>) -> ExitCode {
    println!("hello: migrating the schema for version {}", version());
    match code.map_or(Ok(0), str::parse::<u8>) {
        Ok(0) => println!("hello: the schema is up to date"),
        Ok(code) => {
            eprintln!("hello: column `greeting` exists already");
            return ExitCode::from(code);
        }
        Err(error) => {
            eprintln!("hello: {error}");
            return ExitCode::from(2);
        }
    }
    ExitCode::SUCCESS
}

fn serve() -> io::Result<()> {
    let trouble = Trouble::from_environment(|name| env::var(name).ok()).map_err(io::Error::other)?;
    // Before anything slow: from here on a signal is never missed, also not as process 1 of a
    // container, where the kernel ignores every signal that has no handler.
    let mut signals = Signals::new([SIGTERM, SIGINT])?;

    if trouble.crash_at_start {
        return Err(io::Error::other(
            "cannot open the database: connection to db.internal:5432 refused (DATABASE_URL)",
        ));
    }
    if !trouble.slow_start.is_zero() {
        println!("hello: warming up for {} ms", trouble.slow_start.as_millis());
        thread::sleep(trouble.slow_start);
    }

    let port = env::var("PORT").ok().filter(|port| !port.is_empty()).unwrap_or_else(|| "8080".to_owned());
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))
        .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on port {port}: {error}")))?;
    let address = listener.local_addr()?;
    let site = Site { version: version(), host: host() };
    println!("hello: version {} listens on {address}", site.version);

    let server = Server::new(site, Health::new(trouble.unhealthy_after));
    trouble.begin();

    let stopper = server.clone();
    thread::spawn(move || {
        let mut asked = false;
        for signal in signals.forever() {
            let name = if signal == SIGTERM { "SIGTERM" } else { "SIGINT" };
            match trouble.on_sigterm {
                OnSigterm::Finish if asked => std::process::exit(128 + signal),
                OnSigterm::Finish => {
                    asked = true;
                    println!("hello: {name}: finishing {} requests", stopper.in_flight());
                    stopper.stop(address);
                }
                OnSigterm::Ignore => println!("hello: {name}: ignored"),
                OnSigterm::Drop => {
                    println!("hello: {name}: dropping {} requests", stopper.in_flight());
                    std::process::exit(0);
                }
            }
        }
    });

    server.run(&listener);
    // The port is closed before the last answers are given: nobody new can come.
    drop(listener);
    server.wait_until_idle();
    println!("hello: {} requests answered, bye", server.answered());
    Ok(())
}

fn version() -> String {
    env::var("VERSION").ok().filter(|version| !version.is_empty()).unwrap_or_else(|| "0".to_owned())
}

/// The container's name, which docker and ECS put into `HOSTNAME`.
fn host() -> String {
    env::var("HOSTNAME")
        .ok()
        .or_else(|| std::fs::read_to_string("/etc/hostname").ok())
        .map(|host| host.trim().to_owned())
        .filter(|host| !host.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}
