#include "storage/eviction_policy.h"

#include "base/error.h"

namespace promptdb {

std::vector<std::string> EvictionPolicyNames() { return {"gdsf", "lru", "s3fifo"}; }

EvictionPolicyFactory EvictionPolicyNamed(std::string_view name) {
  if (name == "gdsf") return MakeGdsfPolicy;
  if (name == "lru") return MakeLruPolicy;
  Check(name == "s3fifo", "an eviction policy has a known name");
  return MakeS3FifoPolicy;
}

std::string_view DefaultEvictionPolicyName() { return "s3fifo"; }

}  // namespace promptdb
