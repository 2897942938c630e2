//! Every clause of the contract of a store, with a store that goes on running. With one that is restarted before every call those in which most is
//! kept between calls: a restart takes its time here, and the engine, which is the same, has all of them over SQLite.

mod running {
    rowmesh_contract::contract!(crate::mesh::Site);
}

mod restarted {
    use rowmesh_contract::{Restless, contract_about};

    type Site = Restless<crate::mesh::Site>;

    contract_about!(attaching, super::Site);
    contract_about!(looking, super::Site);
    contract_about!(colliding, super::Site);
    contract_about!(copying, super::Site);
    contract_about!(renaming, super::Site);
}
