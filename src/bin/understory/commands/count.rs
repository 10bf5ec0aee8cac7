//! `count`: how many items there are, or match.

use std::path::Path;

use understory::Filter;

use super::open_to_read;
use crate::failure::Result;
use crate::output;

pub(crate) fn run(path: &Path, filter: Option<&Filter>, json: bool) -> Result<()> {
    let store = open_to_read(path)?;
    let items = match filter {
        Some(filter) => store.count(filter)?,
        None => store.len()?,
    };
    match json {
        true => output::json(&serde_json::json!({ "items": items })),
        false => output::line(&items.to_string()),
    }
}
