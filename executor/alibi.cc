#include "executor/alibi.h"

#include <cmath>

namespace promptdb {

std::vector<float> AlibiSlopes(int heads, double max_bias) {
  int power = 1;
  while (2 * power <= heads) power *= 2;
  std::vector<float> slopes;
  for (int head = 0; head < heads; ++head) {
    const double exponent = head < power ? static_cast<double>(head + 1) / power
                                         : (2.0 * (head - power) + 1) / (2.0 * power);
    slopes.push_back(static_cast<float>(std::exp2(-max_bias * exponent)));
  }
  return slopes;
}

}  // namespace promptdb
