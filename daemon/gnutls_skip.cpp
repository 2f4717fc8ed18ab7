// libcurl brings GnuTLS in through libraries that wattd never calls (RTMP, LDAP). Its constructor would test all its
// ciphers at every start: about 1.5 MB that nobody uses and 10 ms. GnuTLS asks for this symbol before it does so.
// Source: GnuTLS manual, "Initialization", GNUTLS_SKIP_GLOBAL_INIT. See docs/decisions/0006-small-process.md.
extern "C" int _gnutls_global_init_skip() { return 1; }
