//! One suite of tests for every store.

mod common;
mod suite;

mod mem {
    use crate::suite;

    suite!(crate::common::Mem::make);
}

mod lsm {
    use crate::suite;

    suite!(crate::common::Lsm::make);
}

mod sealed {
    use crate::suite;

    suite!(crate::common::Lsm::make_sealed);
}
