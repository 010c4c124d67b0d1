//! Every error of every floor, with its code, exit, hints and what is live.
