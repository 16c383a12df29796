//! Every Redis command, declared once; pure of I/O.
