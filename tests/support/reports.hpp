#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include <tandem/core/error.hpp>

namespace tandem::support {

/// What was reported to Options::on_error, from any thread.
class Reports {
 public:
  [[nodiscard]] std::function<void(Error const&)> hook() {
    return [this](Error const& error) {
      std::lock_guard const guard{mutex_};
      texts_.emplace_back(error.what());
    };
  }
  [[nodiscard]] std::vector<std::string> texts() const {
    std::lock_guard const guard{mutex_};
    return texts_;
  }
  [[nodiscard]] bool have(std::string_view part) const {
    for (auto const& text : texts()) {
      if (text.find(part) != std::string::npos) return true;
    }
    return false;
  }

 private:
  mutable std::mutex mutex_{};
  std::vector<std::string> texts_{};  // guarded by mutex_
};

}  // namespace tandem::support
