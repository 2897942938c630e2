//! Every clause of the contract of a store, with a store that goes on running, and those that are true of one that is restarted before every call.

mod running {
    rowmesh_contract::contract!(crate::mesh::File);
}

mod restarted {
    use rowmesh_contract::{Restless, contract_about};

    type File = Restless<crate::mesh::File>;

    contract_about!(attaching, super::File);
    contract_about!(looking, super::File);
    contract_about!(sealing, super::File);
    contract_about!(taking, super::File);
    contract_about!(settling, super::File);
    contract_about!(colliding, super::File);
    contract_about!(parking, super::File);
    contract_about!(leaving, super::File);
    contract_about!(logging, super::File);
    contract_about!(copying, super::File);
    contract_about!(renaming, super::File);
    contract_about!(keeping, super::File);
    contract_about!(viewing, super::File);
}
