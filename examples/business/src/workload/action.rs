//! What a step of the workload did, as one short sentence for logs and live views.

use std::fmt;

use crate::cell::Cents;

/// One business action that has been committed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // The fields are what the sentences of `Display` say.
pub enum Action {
    /// A user logged in: a session and an audit entry, both of this server only, and the user's last login.
    LoggedIn { user: String },
    /// An order with its items, stock movements, the products' stock, and the business's account.
    Sold { order: String, items: usize, total: Cents },
    /// An order cancelled, its goods back in stock.
    Cancelled { order: String },
    /// Goods that came in.
    ReceivedStock { product: String, quantity: i64 },
    /// One price changed.
    ChangedPrice { product: String, from: Cents, to: Cents },
    /// All prices of a category changed by one UPDATE.
    RaisedPrices { category: String, products: usize, percent: i64 },
    /// A new customer.
    AddedCustomer { name: String },
    /// A customer's data changed.
    ChangedCustomer { name: String },
    /// A customer without orders deleted.
    DeletedCustomer { name: String },
    /// An instalment of a layby.
    PaidLayby { layby: String, amount: Cents, left: Cents },
    /// An instalment of an employee's loan.
    PaidEmployeeLoan { loan: String, amount: Cents, left: Cents },
    /// An instalment of a loan between businesses.
    PaidBusinessLoan { loan: String, amount: Cents, left: Cents },
    /// An employee came.
    ClockedIn { employee: String },
    /// An employee left.
    ClockedOut { employee: String },
    /// A day's attendance of a whole business entered, over what was entered before.
    RecordedAttendance { business: String, employees: usize },
    /// A journey.
    Drove { plate: String, km: i64 },
    /// A message.
    Said { room: String, text: String },
    /// Old messages of a room deleted by one DELETE.
    PrunedMessages { room: String, messages: usize },
    /// Nothing: the database holds too little data.
    Idle,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LoggedIn { user } => write!(f, "{user} logged in"),
            Self::Sold { order, items, total } => {
                write!(f, "sold order {order}: {items} {}, {total}", noun(*items, "item"))
            }
            Self::Cancelled { order } => write!(f, "cancelled order {order}"),
            Self::ReceivedStock { product, quantity } => write!(f, "received {quantity} of {product}"),
            Self::ChangedPrice { product, from, to } => write!(f, "changed the price of {product} from {from} to {to}"),
            Self::RaisedPrices { category, products, percent } => {
                write!(f, "raised {products} {} in {category} by {percent} %", noun(*products, "price"))
            }
            Self::AddedCustomer { name } => write!(f, "added customer {name}"),
            Self::ChangedCustomer { name } => write!(f, "changed customer {name}"),
            Self::DeletedCustomer { name } => write!(f, "deleted customer {name}"),
            Self::PaidLayby { layby, amount, left } => write!(f, "layby {layby}: paid {amount}, {left} left"),
            Self::PaidEmployeeLoan { loan, amount, left } => {
                write!(f, "employee loan {loan}: paid {amount}, {left} left")
            }
            Self::PaidBusinessLoan { loan, amount, left } => {
                write!(f, "business loan {loan}: paid {amount}, {left} left")
            }
            Self::ClockedIn { employee } => write!(f, "{employee} clocked in"),
            Self::ClockedOut { employee } => write!(f, "{employee} clocked out"),
            Self::RecordedAttendance { business, employees } => {
                write!(f, "recorded the attendance of {employees} {} at {business}", noun(*employees, "employee"))
            }
            Self::Drove { plate, km } => write!(f, "vehicle {plate} drove {km} km"),
            Self::Said { room, text } => write!(f, "said in {room}: {text}"),
            Self::PrunedMessages { room, messages } => {
                write!(f, "deleted {messages} old {} in {room}", noun(*messages, "message"))
            }
            Self::Idle => write!(f, "nothing to do: the database holds no data to work with"),
        }
    }
}

fn noun(count: usize, one: &str) -> String {
    if count == 1 { one.to_owned() } else { format!("{one}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_one_short_sentence() {
        let sold = Action::Sold { order: "A-1000001".into(), items: 3, total: Cents(4590) };
        assert_eq!(sold.to_string(), "sold order A-1000001: 3 items, 45.90");
        let pruned = Action::PrunedMessages { room: "Team demo".into(), messages: 1 };
        assert_eq!(pruned.to_string(), "deleted 1 old message in Team demo");
    }
}
