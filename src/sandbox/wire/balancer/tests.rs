//! The balancer on real sockets, between real clients and real servers.

mod api;
mod choices;
mod field;
mod traffic;
