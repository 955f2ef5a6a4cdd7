// What the documentation shows, as it stands there: it must compile, and do what its comments say.

#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include <tandem/tandem.hpp>
#include <tandem/testing/redis_server.hpp>

// Shown for their names, not for their results.
#pragma GCC diagnostic ignored "-Wunused-result"
#pragma GCC diagnostic ignored "-Wunused-variable"

using namespace std::chrono_literals;

struct Price {
  std::string currency;
  double amount;
};
template <>
struct tandem::Codec<Price> {
  static std::string encode(Price const& price) {
    return price.currency + std::to_string(price.amount);
  }
  static Price decode(std::string_view bytes) {
    if (bytes.size() < 4) throw CodecError{"a price was wanted"};
    return {std::string{bytes.substr(0, 3)}, std::stod(std::string{bytes.substr(3)})};
  }
};

namespace {

class SnippetsTest : public ::testing::Test {
 protected:
  tandem::testing::RedisServer server_;
  tandem::Client redis_{server_.url()};
};

TEST_F(SnippetsTest, ClientsAreMadeLazilyOfUrlsAndOptions) {
  tandem::Client redis{"redis://localhost:6379"};
  tandem::Client local{"unix:///run/redis.sock?db=2"};
  tandem::Client secure{"rediss://app:secret@cache.example:6380/0"};

  tandem::Options o = tandem::Options::from_url("redis://localhost");
  o.connect_timeout = 500ms;
  o.command_timeout = 2s;
  o.name = "billing";
  tandem::Client tuned{o};
  EXPECT_EQ(tuned.options().name, "billing");
}

TEST_F(SnippetsTest, ConversationsAreTypedPipelinedAndTransactional) {
  auto& redis = redis_;
  tandem::Connection wire{server_.url()};
  tandem::Reply r = wire.command("SET", "k", "v", "PX", 1500);
  std::string v = wire.command("GET", "k").as<std::string>();
  std::optional<long long> n = wire.command("GET", "absent").as<std::optional<long long>>();
  EXPECT_EQ(r.as<std::string>(), "OK");
  EXPECT_EQ(v, "v");
  EXPECT_FALSE(n);

  auto replies = redis.pipeline().command("INCR", "a").command("GET", "b").execute();
  ASSERT_EQ(replies.size(), 2U);
  EXPECT_EQ(replies[0].as<int>(), 1);
  EXPECT_TRUE(replies[1].is_nil());

  long long total = redis.transaction({"a", "b"}, [](tandem::Transaction& tx) {
    auto a = tx.read("GET", "a").as<std::optional<long long>>().value_or(0);
    tx.queue("SET", "b", a + 1);
    return a + 1;
  });
  EXPECT_EQ(total, 2);
  EXPECT_EQ(redis.command("GET", "b").as<int>(), 2);
}

TEST_F(SnippetsTest, LocksAreTriedAwaitedStoppedAndAskedForTheirOwner) {
  auto& redis = redis_;
  tandem::Lock lock{redis, "orders:42"};
  tandem::Lock brief{redis, "report", {.lease = 2s, .renew = false}};

  if (std::optional<tandem::Hold> hold = brief.try_acquire()) {
  }
  if (std::optional<tandem::Hold> hold = lock.try_acquire_for(200ms)) {
    std::uint64_t const fence = hold->fence();
    std::chrono::steady_clock::time_point const until = hold->valid_until();
    hold->stop_token();
    hold->held();
    EXPECT_GT(fence, 0U);
    EXPECT_GT(until, std::chrono::steady_clock::now());
    EXPECT_EQ(hold->release(), tandem::Release::released);
  } else {
    ADD_FAILURE() << "a free lock was not acquired";
  }

  tandem::Hold h = lock.acquire();
  EXPECT_TRUE(lock.owner());
  std::stop_source asked;
  std::stop_token stop = asked.get_token();
  asked.request_stop();
  std::optional<tandem::Hold> s = lock.acquire(stop);
  EXPECT_FALSE(s);
  h.release();

  tandem::Mutex mutex{redis, "orders:42"};
  { std::scoped_lock guard{mutex}; }
  if (std::unique_lock held{mutex, 200ms}) {
  } else {
    ADD_FAILURE() << "a free mutex was not locked";
  }
}

TEST_F(SnippetsTest, CountersCountAndRoll) {
  auto& redis = redis_;
  tandem::Counter hits{redis, "hits"};
  ++hits;
  hits += 5;
  long long now = hits.add(2);
  EXPECT_EQ(now, 8);
  hits.exchange(7);
  hits.compare_exchange(7, 8);
  EXPECT_EQ(hits.value(), 8);
  EXPECT_FALSE(hits.add_within(1, 0, 8));
  tandem::Counter paid{redis, "paid", {.exactly_once = true}};
  EXPECT_EQ(++paid, 1);

  tandem::BufferedCounter fast{redis, "hits", {.flush_interval = 100ms}};
  fast.add();
  EXPECT_EQ(fast.value(), 9);
  fast.flush();
  EXPECT_EQ(hits.value(), 9);

  tandem::RollingCounter sales{redis, "web", "sales"};
  sales.add(3);
  EXPECT_EQ(sales.current().count, 3);
  EXPECT_FALSE(sales.last());
  tandem::RollingCounter minute{redis, "web", "hits", {.period = 1min}};

  tandem::RateLimiter limiter{redis, "api", {.rate = 100, .per = 1s, .burst = 20}};
  if (auto d = limiter.try_acquire(1)) {
  } else {
    d.retry_after();
  }
  EXPECT_LT(limiter.peek(), 21);
  tandem::Statistics latency{redis, "web", "latency"};
  latency.add(12.5);
  EXPECT_EQ(latency.current().quantile(0.99), 12.5);
}

TEST_F(SnippetsTest, MapsAreShared) {
  auto& redis = redis_;
  tandem::SharedMap<std::string, std::int64_t> stock{redis, "stock"};
  stock.set("apple", 3);
  std::optional<std::int64_t> n = stock.get("apple");
  bool fresh = stock.insert("pear", 5);
  EXPECT_EQ(n, 3);
  EXPECT_TRUE(fresh);
  stock.erase("pear");
  stock.contains("apple");
  stock.size();
  stock.clear();
  stock.set_many({{"a", 1}, {"b", 2}});
  auto some = stock.get_many({"a", "b", "c"});
  EXPECT_EQ(some, (std::vector<std::optional<std::int64_t>>{1, 2, std::nullopt}));
  stock.set("apple", 3);
  stock.update("apple", [](std::optional<std::int64_t> v) { return v.value_or(0) + 1; });
  stock.compare_exchange("apple", 4, 5);
  stock.add("apple", 10);
  std::int64_t sum = 0;
  for (auto [key, value] : stock) sum += value;
  EXPECT_EQ(sum, 1 + 2 + 15);
  stock.set("promo", 1, {.ttl = 30s});
  EXPECT_LE(stock.ttl("promo"), 30s);
  tandem::Lock lock{redis, "lock"};
  std::optional<tandem::Hold> hold = lock.try_acquire();
  stock.set("apple", 9, *hold);
  stock.atomically([](auto& m) { m.set("pear", *m.get("apple") + 1); });
  EXPECT_EQ(stock.snapshot().size(), 5U);

  tandem::SharedMap<std::string, Price> prices{redis, "prices"};
  prices.set("EUR", {"EUR", 1.5});
  EXPECT_EQ(prices.get("EUR")->amount, 1.5);
}

}  // namespace
