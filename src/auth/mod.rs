//! Who is asking: a Principal from an API key or a JWT.
