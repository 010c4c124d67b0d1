//! Faces: everything a person or a tool sees of a run, drawn from events and nothing else.
