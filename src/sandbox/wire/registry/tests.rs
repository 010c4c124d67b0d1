//! The registry and the services beside it, driven by raw HTTP, by AWS's own clients and by a Docker engine.

mod engine;
mod http_api;
mod sdk;
mod server;
