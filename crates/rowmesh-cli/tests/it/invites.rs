//! Invites that do not work: each is told by its own message, ends with 5, and leaves the joiner's database as it was found.

use crate::machine::{Machine, Said, schema};

struct Meeting {
    machine: Machine,
    _founder: crate::machine::Daemon,
    invite: String,
}

impl Meeting {
    fn new() -> Meeting {
        let machine = Machine::new();
        machine.shop("a.db");
        let founder = machine.start(&["up", "a.db", "--name", "a", "--yes"]);
        let invite = founder.invite();
        Meeting { machine, _founder: founder, invite }
    }

    fn join(&self, name: &str, invite: &str) -> Said {
        let database = format!("{name}.db");
        self.machine.run(&["join", invite, &database, "--name", name, "--yes", "--listen", "127.0.0.1:0"])
    }

    /// Refused, with this in the message, and nothing left behind.
    fn refused(&self, name: &str, invite: &str, part: &str) -> String {
        let said = self.join(name, invite);
        assert_eq!((said.code, said.error_code().as_str()), (5, "RM4103"), "{said:?}");
        assert!(said.err.contains(part), "{part}: {said:?}");
        assert!(!self.machine.path(&format!("{name}.db")).exists(), "no file is left of a mesh that was not joined");
        said.err.lines().find(|line| line.starts_with("error[")).expect("one line says it").to_owned()
    }
}

#[test]
fn used_expired_truncated_and_unknown_invites_have_four_messages() {
    let meeting = Meeting::new();
    let short_lived = meeting.machine.json(&["invite", "--ttl", "1ms", "--name", "a"]);
    let expired = meeting.refused("b", short_lived["line"].as_str().expect("a line"), "expired");
    let truncated = meeting.refused("b", &meeting.invite[..meeting.invite.len() - 3], "missing at the end");
    let mut letters: Vec<char> = meeting.invite.chars().collect();
    let middle = letters.len() / 2;
    letters[middle] = if letters[middle] == 'A' { 'B' } else { 'A' };
    let altered = meeting.refused("b", &letters.into_iter().collect::<String>(), "damaged");
    meeting.refused("b", "hello", "not an invite");

    assert_eq!(meeting.join("b", &meeting.invite).code, 0);
    let used = meeting.refused("c", &meeting.invite, "used by \"b\"");
    let mut messages = vec![expired, truncated, altered, used];
    messages.sort();
    messages.dedup();
    assert_eq!(messages.len(), 4, "{messages:?}");
}

#[test]
fn an_existing_database_is_left_as_it_was_found_when_joining_fails() {
    let meeting = Meeting::new();
    let mine = meeting.machine.shop("b.db");
    let before = schema(&mine);
    assert_eq!(meeting.join("b", &meeting.invite[..40]).code, 5);
    assert_eq!(schema(&mine), before);
    assert_eq!(meeting.join("b", &meeting.invite).code, 0, "the invite was not used up, the name not taken");
}

#[test]
fn a_database_with_rows_is_never_overwritten_by_joining() {
    let meeting = Meeting::new();
    let mine = meeting.machine.shop("b.db");
    crate::machine::sql(&mine, "INSERT INTO products VALUES ('mine', 'Mine')");
    let said = meeting.join("b", &meeting.invite);
    assert_eq!((said.code, said.error_code().as_str()), (1, "RM5504"), "{said:?}");
    assert_eq!(crate::machine::value(&mine, "SELECT name FROM products").as_deref(), Some("Mine"));
    assert_eq!(meeting.join("c", &meeting.invite).code, 0, "the invite still works");
}

#[test]
fn an_inviter_that_is_gone_is_told_with_its_address() {
    let machine = Machine::new();
    machine.shop("a.db");
    let founder = machine.start(&["up", "a.db", "--name", "a", "--yes"]);
    let invite = founder.invite();
    founder.kill();
    let said = machine.run(&["join", &invite, "b.db", "--name", "b", "--yes", "--listen", "127.0.0.1:0"]);
    assert_eq!((said.code, said.error_code().as_str()), (1, "RM4401"), "{said:?}");
    assert!(said.err.contains("127.0.0.1:"), "{said:?}");
    assert!(!machine.path("b.db").exists());
}
