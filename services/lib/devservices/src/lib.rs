//! devservices
