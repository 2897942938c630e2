//! `rowmesh log`: one change a line.

use rowmesh::control::api::Change;
use serde_json::{Map, Value};

use super::time::Moment;
use super::{clean, shorten, value};
use crate::paint::Paint;

/// One change.
pub fn line(change: &Change, moment: &Moment, paint: Paint) -> String {
    let operation = match change.operation.as_str() {
        "INSERT" => paint.good("INSERT"),
        "DELETE" => paint.bad("DELETE"),
        other => paint.bold(&clean(other)),
    };
    let state = match change.state.as_str() {
        "parked" => paint.warn("parked"),
        other => paint.dim(&clean(other)),
    };
    format!(
        "{}  {:<15} {operation}  {} {}   {}   {state}\n",
        paint.dim(&moment.exact(change.at)),
        format!("{} {}", clean(&change.node), change.seq),
        clean(&change.table),
        clean(&change.key),
        shorten(&difference(change), DIFFERENCE_CHARACTERS_MAX),
    )
}

/// What changed, as `phone 555-0100 → 555-0177`; of a new row its columns, of a deleted one nothing.
fn difference(change: &Change) -> String {
    let (before, after) = (object(change.before.as_ref()), object(change.after.as_ref()));
    match (before, after) {
        (Some(before), Some(after)) => {
            let changed = after.iter().filter(|(column, now)| before.get(*column) != Some(*now));
            let parts: Vec<String> = changed
                .map(|(column, now)| format!("{} {} → {}", clean(column), value(before.get(column)), value(Some(now))))
                .collect();
            parts.join(", ")
        }
        (None, Some(after)) => {
            let parts: Vec<String> = after
                .iter()
                .filter(|(_, now)| !now.is_null())
                .map(|(column, now)| format!("{} {}", clean(column), value(Some(now))))
                .collect();
            parts.join(", ")
        }
        _ => String::new(),
    }
}

fn object(image: Option<&Value>) -> Option<&Map<String, Value>> {
    image.and_then(Value::as_object)
}

const DIFFERENCE_CHARACTERS_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_tells_who_did_what_to_which_row() {
        let moment = Moment::at(1_769_875_200_000, TimeZone::UTC);
        let update = Change {
            at: 1_769_869_867_214,
            node: "till-1".into(),
            operation: "UPDATE".into(),
            table: "customers".into(),
            key: "8841".into(),
            before: Some(json!({"id": 8841, "phone": "555-0100", "name": "J"})),
            after: Some(json!({"id": 8841, "phone": "555-0177", "name": "J"})),
            state: "applied".into(),
            ..Change::default()
        };
        let insert = Change { operation: "INSERT".into(), before: None, state: "sealed".into(), ..update.clone() };
        let delete = Change { operation: "DELETE".into(), after: None, state: "parked".into(), ..update.clone() };
        let lines: String =
            [update, insert, delete].iter().map(|change| line(change, &moment, Paint::default())).collect();
        insta::assert_snapshot!(lines);
    }
}
