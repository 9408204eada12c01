//! Recall of what users and teams have taught the service.
