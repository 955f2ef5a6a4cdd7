#pragma once

#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include <tandem/client.hpp>
#include <tandem/lock.hpp>

#include "lock/library.hpp"

namespace bench::lock {

/// `tandem::Lock`, with one `tandem::Client` for all callers.
class TandemLock final : public Library {
 public:
  TandemLock(Task const& task, tandem::LockOptions options)
      : lock_{tandem::Client{"unix://" + task.socket}, task.name, with_lease(options, task.lease)},
        holds_(static_cast<std::size_t>(task.callers)),
        lingers_{options.linger.count() > 0} {}

  [[nodiscard]] std::string text() const override {
    return std::string{"tandem::Lock"} + (lingers_ ? " with LockOptions::linger" : "") +
           ", one tandem::Client for each process";
  }
  void acquire(int caller) override { of(caller) = lock_.acquire(); }
  void release(int caller) override {
    if (of(caller)->release() != tandem::Release::released) throw std::runtime_error{"lost"};
  }

 private:
  static tandem::LockOptions with_lease(tandem::LockOptions options,
                                        std::chrono::milliseconds lease) {
    options.lease = lease;
    return options;
  }
  std::optional<tandem::Hold>& of(int caller) { return holds_[static_cast<std::size_t>(caller)]; }

  tandem::Lock lock_;
  std::vector<std::optional<tandem::Hold>> holds_;
  bool lingers_;
};

}  // namespace bench::lock
