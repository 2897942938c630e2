//! `rowmesh doctor`: one check a line, with what helps.

use rowmesh::control::api::Check;

use super::clean;
use crate::paint::Paint;

/// All checks.
pub fn checks(checks: &[Check], paint: Paint) -> String {
    checks.iter().map(|check| line(check, paint)).collect()
}

fn line(check: &Check, paint: Paint) -> String {
    let mark = match check.verdict.as_str() {
        "ok" => paint.good("✔"),
        "warning" => paint.warn("!"),
        _ => paint.bad("✗"),
    };
    let code = if check.code.is_empty() { String::new() } else { format!("{} ", check.code) };
    let command = if check.command.is_empty() { String::new() } else { format!("\n    {}", clean(&check.command)) };
    format!("{mark} {code}{}{command}\n", clean(&check.text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_its_mark_and_its_remedy() {
        let check = |verdict: &str, code: &str, text: &str, command: &str| Check {
            verdict: verdict.into(),
            text: text.into(),
            code: code.into(),
            command: command.into(),
        };
        let all = [
            check("ok", "", "port 7696 open", ""),
            check("warning", "RM4203", "office reaches us, we cannot reach office", ""),
            check("error", "RM2107", "triggers missing on 1 of 70 tables: products", "rowmesh doctor --fix"),
        ];
        insta::assert_snapshot!(checks(&all, Paint::default()), @r"
        ✔ port 7696 open
        ! RM4203 office reaches us, we cannot reach office
        ✗ RM2107 triggers missing on 1 of 70 tables: products
            rowmesh doctor --fix
        ");
    }
}
