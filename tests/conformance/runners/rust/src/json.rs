//! JSON of the corpus, with numbers as they are written.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The text of one JSON value. `null` is a value: a field that is absent is none.
#[derive(Clone)]
pub struct Json(pub Box<RawValue>);

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Json)
    }
}

impl Json {
    pub fn text(&self) -> &str {
        self.0.get()
    }

    /// The parts of an array.
    pub fn list(&self) -> Option<Vec<Json>> {
        serde_json::from_str(self.text()).ok()
    }

    /// A string.
    pub fn string(&self) -> Option<String> {
        serde_json::from_str(self.text()).ok()
    }
}
