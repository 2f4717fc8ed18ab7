#pragma once
#include <libpq-fe.h>

namespace wattd::sync {

/// The functions of libpq that the PostgreSQL sink calls. The library is opened when the first such sink is made: with
/// what it brings along (Kerberos, LDAP) it costs every other gateway 2 MB. See docs/decisions/0006-small-process.md.
struct Libpq {
  decltype(&PQclear) clear;
  decltype(&PQconnectPoll) connect_poll;
  decltype(&PQconnectStartParams) connect_start;
  decltype(&PQconsumeInput) consume_input;
  decltype(&PQerrorMessage) error_message;
  decltype(&PQfinish) finish;
  decltype(&PQflush) flush;
  decltype(&PQgetResult) get_result;
  decltype(&PQgetvalue) get_value;
  decltype(&PQisBusy) is_busy;
  decltype(&PQnfields) fields;
  decltype(&PQntuples) tuples;
  decltype(&PQputCopyData) put_copy_data;
  decltype(&PQputCopyEnd) put_copy_end;
  decltype(&PQresultErrorField) result_error_field;
  decltype(&PQresultErrorMessage) result_error_message;
  decltype(&PQresultStatus) result_status;
  decltype(&PQsendQuery) send_query;
  decltype(&PQsetnonblocking) set_nonblocking;
  decltype(&PQsocket) socket;
  decltype(&PQstatus) status;
};

/// Errors: throws std::runtime_error when the library is not installed. Owns: nothing; it stays open.
const Libpq& libpq();

}  // namespace wattd::sync
