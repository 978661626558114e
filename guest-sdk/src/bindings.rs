//! The bindings to `strongroom:vault`, generated from the package's own copy of the WIT.

wit_bindgen::generate!({ path: "wit", world: "guest" });
