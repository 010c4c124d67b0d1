//! Commit, branch and dirty state of the work tree.
