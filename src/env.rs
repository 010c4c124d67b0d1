//! The name of every environment variable the program reads; `cli` alone reads them, once.
