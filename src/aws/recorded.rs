//! Answers AWS gave, served over a real socket to the real SDK clients.
