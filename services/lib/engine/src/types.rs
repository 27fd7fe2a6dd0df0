//! Pin types: the small grammar in which blocks declare what a pin takes.

/// A pin's type. Text form (`FromStr`): `any str short_text long_text file int float bool list[T] dict[K,V] optional[T] union[A,B] literal[...]` …
#[derive(Debug, Clone, PartialEq)]
pub enum PinType {
    Any,
}
