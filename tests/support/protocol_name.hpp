#pragma once

#include <string>

#include <gtest/gtest.h>

namespace tandem::support {

/// What a test is called that is run over each version of the protocol.
inline std::string protocol_name(::testing::TestParamInfo<int> const& parameter) {
  return "Resp" + std::to_string(parameter.param);
}

}  // namespace tandem::support
