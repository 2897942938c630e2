//! Chat rooms: sending messages and deleting old ones.

use super::{Action, Workload};
use crate::{
    calendar::Moment,
    cell::values,
    database::{Database, Result},
};

impl Workload {
    pub(super) fn send_message(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let Some(room) = self.some_id(db, "chat_rooms WHERE NOT is_archived AND ?2", true)? else {
            return Ok(None);
        };
        let sender: Option<String> = db.first(
            "SELECT user_id FROM chat_participants WHERE room_id = ?1 ORDER BY user_id LIMIT 1 OFFSET ?2",
            &values![room, self.dice.between(0, 1)],
        )?;
        let Some(sender) = sender else {
            return Ok(None);
        };
        let reply_to = self.message_to_reply_to(&room);
        let text = format!("{} ({})", self.dice.pick(PHRASES), self.now.time());
        let id = self.new_id();
        db.execute(
            "INSERT INTO chat_messages (id, room_id, sender_id, reply_to_id, content, sent_at, created_at, updated_at) \
             VALUES (?1, ?2, ?3, (SELECT id FROM chat_messages WHERE id = ?4), ?5, ?6, ?6, ?6)",
            &values![id, room, sender, reply_to, text, self.now],
        )?;
        db.execute(
            "UPDATE chat_rooms SET last_message_at = ?2, updated_at = ?2 WHERE id = ?1",
            &values![room, self.now],
        )?;
        self.remember(&room, id);
        let room = db.one("SELECT name FROM chat_rooms WHERE id = ?1", &values![room])?;
        Ok(Some(Action::Said { room, text }))
    }

    fn message_to_reply_to(&mut self, room: &str) -> Option<String> {
        let latest = self.own_messages.iter().rev().find(|(own_room, _)| own_room == room);
        latest.map(|(_, message)| message.clone()).filter(|_| self.dice.percent(30))
    }

    fn remember(&mut self, room: &str, message: String) {
        if self.own_messages.len() >= MESSAGES_REMEMBERED {
            self.own_messages.remove(0);
        }
        self.own_messages.push((room.to_owned(), message));
    }

    /// Deletes a room's oldest messages by one DELETE; replies to them lose their pointer. Only generated messages, all
    /// older than any workload: to one that another node has sent, that node may be replying just now.
    pub(super) fn prune_messages(&mut self, db: &dyn Database) -> Result<Option<Action>> {
        let before = self.now.plus_days(-DAYS_KEPT).min(Moment::OPENING);
        let with_old = "chat_rooms WHERE EXISTS (SELECT 1 FROM chat_messages AS m WHERE m.room_id = chat_rooms.id AND m.sent_at < ?2)";
        let Some(room) = self.some_id(db, with_old, before)? else {
            return Ok(None);
        };
        let messages = db.execute(
            "DELETE FROM chat_messages WHERE id IN \
             (SELECT id FROM chat_messages WHERE room_id = ?1 AND sent_at < ?2 ORDER BY sent_at, id LIMIT 20)",
            &values![room, before],
        )?;
        let room = db.one("SELECT name FROM chat_rooms WHERE id = ?1", &values![room])?;
        Ok(Some(Action::PrunedMessages { room, messages }))
    }
}

const DAYS_KEPT: i64 = 30;
const MESSAGES_REMEMBERED: usize = 32;

const PHRASES: &[&str] = &[
    "On my way",
    "Stock is counted",
    "Please open the back door",
    "Order is packed",
    "Who takes the late shift?",
    "The generator is on",
    "Supplier comes tomorrow",
    "Thank you 🙏",
];
