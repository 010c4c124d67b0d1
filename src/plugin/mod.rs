//! The Docker plugin protocol: faces by file name, metadata, argv, completion, shim, install.
