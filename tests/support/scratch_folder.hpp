#pragma once

#include <cerrno>
#include <filesystem>
#include <string>
#include <system_error>

#include <stdlib.h>

namespace tandem::support {

/// A folder of one's own, gone with all that is in it at the end of the scope; short enough to hold
/// a Unix socket.
class ScratchFolder {
 public:
  ScratchFolder() {
    if (::mkdtemp(name_.data()) == nullptr)
      throw std::system_error{errno, std::generic_category(), name_};
  }
  ScratchFolder(ScratchFolder const&) = delete;
  ScratchFolder& operator=(ScratchFolder const&) = delete;
  ~ScratchFolder() {
    std::error_code ignored;  // it lies in /tmp: a failure costs a few bytes until the next boot
    std::filesystem::remove_all(name_, ignored);
  }

  [[nodiscard]] std::string path(std::string const& file) const { return name_ + "/" + file; }

 private:
  std::string name_ = "/tmp/tandem-test-XXXXXX";
};

}  // namespace tandem::support
