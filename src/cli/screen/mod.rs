//! Lines with a width and colours.
//!
//! [`Line`] says what a line is, [`layout`] makes it fit a width, [`paint`] gives it colours;
//! all three are pure. [`Screen`] alone writes to stdout. Text that came from a model, a
//! repository or a command passes [`clean`] before it gets here: it could otherwise move the
//! cursor, rewrite what was shown, or show letters in another order than they stand.

mod clean;
mod layout;
mod line;
mod paint;
mod terminal;

pub use clean::{clean, clean_block};
pub use layout::{layout, width};
pub use line::{Line, Overflow, Span, Tone};
pub use paint::paint;
pub use terminal::Screen;
