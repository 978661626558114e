/// What tells a store from others, as one text: `parts` are settings by their keys, those that are
/// not set left out. Different settings never make the same text.
///
/// What only says how a store is treated is no part of it, nor what it can be reached with: two
/// tables with one place are two vaults over one store.
///
/// ```
/// use strongroom_backend_remote::place;
///
/// let one = place(&[("project", Some("shop")), ("location", None)]);
/// assert_eq!(one, place(&[("project", Some("shop"))]));
/// assert_ne!(one, place(&[("project", Some("shop\nlocation"))]));
/// ```
pub fn place(parts: &[(&str, Option<&str>)]) -> String {
    let set = parts
        .iter()
        .filter_map(|(key, value)| value.map(|value| format!("{key}={value:?}")));
    set.collect::<Vec<_>>().join("\n")
}
