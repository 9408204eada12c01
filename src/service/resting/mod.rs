//! What people do with a task that rests: say what they think of it, and have its patch published.

mod feedback;
mod publish;

pub use feedback::{FeedbackView, Merged, NewFeedback, Rating, ReviewComment};
pub use publish::{PublishAccepted, PublishInput};
