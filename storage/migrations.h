#pragma once

namespace wattd::storage {

// docs/formats/schema.md explains every table. Times are microseconds UTC; an entry here is never edited
// once released, a change is a new entry.
extern const char* const kSchema1;
extern const char* const kSchema2;
extern const char* const kSchema3;
extern const char* const kSchema4;
extern const char* const kSchema5;

}  // namespace wattd::storage
