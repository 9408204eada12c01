//! Speaks to models over their three wires.
