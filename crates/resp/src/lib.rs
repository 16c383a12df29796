//! The RESP2 and RESP3 wire protocol. Pure: no I/O, no clock, no runtime.
