#pragma once

#include <string>

#include <tandem/buffered_counter.hpp>
#include <tandem/client.hpp>
#include <tandem/counter.hpp>
#include <tandem/rolling_counter.hpp>

#include "counter/library.hpp"

namespace bench::counter {

inline tandem::Client client_of(Task const& task) {
  return tandem::Client{"unix://" + task.socket};
}

/// `tandem::Counter`, with one `tandem::Client` for all callers, as all of tandem's have it.
class TandemCounter final : public Library {
 public:
  TandemCounter(Task const& task, tandem::CounterOptions options)
      : counter_{client_of(task), task.key(), options}, once_{options.exactly_once} {}

  [[nodiscard]] std::string text() const override {
    return std::string{"tandem::Counter"} + (once_ ? " with CounterOptions::exactly_once" : "") +
           ", one tandem::Client for each process";
  }
  void add(int /*caller*/) override { counter_.add(); }

 private:
  tandem::Counter counter_;
  bool once_;
};

/// `tandem::RollingCounter`, by the hour.
class TandemRollingCounter final : public Library {
 public:
  explicit TandemRollingCounter(Task const& task)
      : counter_{client_of(task), Task::context, task.type} {}

  [[nodiscard]] std::string text() const override { return "tandem::RollingCounter, by the hour"; }
  void add(int /*caller*/) override { counter_.add(); }

 private:
  tandem::RollingCounter counter_;
};

/// `tandem::BufferedCounter`, flushed in the background.
class TandemBufferedCounter final : public Library {
 public:
  explicit TandemBufferedCounter(Task const& task) : counter_{client_of(task), task.key()} {}

  [[nodiscard]] std::string text() const override {
    return "tandem::BufferedCounter, flushed each 100 ms (its default)";
  }
  [[nodiscard]] int adds_at_once() const override { return 1000; }
  [[nodiscard]] bool waits() const override { return false; }
  void add(int /*caller*/) override {
    for (int i = 0; i < adds_at_once(); ++i) counter_.add();
  }
  void flush() override { counter_.flush(); }

 private:
  tandem::BufferedCounter counter_;
};

}  // namespace bench::counter
