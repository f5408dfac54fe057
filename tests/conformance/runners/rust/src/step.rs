//! The corpus: scenarios and their steps. A field that is not here fails the scenario.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};

use crate::json::Json;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    pub about: String,
    pub options: BTreeMap<String, Json>,
    pub steps: Vec<Step>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Step {
    pub op: String,
    pub about: String,
    pub cache: Option<String>,
    pub options: BTreeMap<String, Json>,
    pub key: Option<Json>,
    pub keys: Vec<Json>,
    #[serde(deserialize_with = "present")]
    pub value: Option<Json>,
    pub entries: Vec<(Json, Json)>,
    pub ttl: Option<Json>,
    pub codec: Option<String>,
    pub tags: Vec<String>,
    pub fetch: Option<Fetch>,
    pub count: usize,
    pub leader: Option<String>,
    pub step: Option<Box<Step>>,
    pub within: Option<f64>,
    pub remember: Option<String>,
    pub token: Option<String>,
    pub token_of: Option<String>,
    #[serde(deserialize_with = "present")]
    pub expect: Option<Json>,
    pub expect_miss: bool,
    pub expect_error: Option<String>,
    pub expect_names: Vec<String>,
    pub expect_pending: Option<bool>,
    pub expect_fetches: Option<usize>,
    pub expect_missing: Option<Vec<Vec<Json>>>,
    pub expect_failed: Option<Vec<Json>>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fetch {
    #[serde(deserialize_with = "present")]
    pub value: Option<Json>,
    pub values: Vec<(Json, Json)>,
    pub error: Option<String>,
    pub not_found: bool,
    pub during: Vec<Step>,
    pub recursive: Option<Json>,
    pub tags: Vec<String>,
    pub ttl: Option<Json>,
}

/// A field that is there has a value, `null` too.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(deserializer).map(Some)
}
