// A schema as PML that ReadPmlSchema() reads back as the same schema.
//
// Thread-safe: a pure function.
#ifndef PROMPTDB_PML_PML_WRITER_H_
#define PROMPTDB_PML_PML_WRITER_H_

#include <string>

#include "storage/schema_definition.h"

namespace promptdb {

// Ends with a line break. What the prototype's markup can say is written in its words, so that the
// prototype reads it too; the rest in words with the prefix promptdb: (docs/pml.md). The model and
// the time of creation are left out. Throws Error(kUnsupported) for a name, default value or
// separator with a control character, which no XML attribute can hold.
std::string WritePml(const SchemaDefinition& schema);

}  // namespace promptdb

#endif  // PROMPTDB_PML_PML_WRITER_H_
