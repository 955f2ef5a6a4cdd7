#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <tandem/core/options.hpp>

namespace tandem {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

Options read(std::string_view url) { return Options::from_url(url); }

/// The text with which a URL is refused.
std::string refusal(std::string_view url) {
  try {
    (void)Options::from_url(url);
  } catch (std::invalid_argument const& error) {
    return error.what();
  }
  return "accepted";
}

/// The text with which a change of the default options is refused.
std::string refusal(std::function<void(Options&)> const& change) {
  Options options;
  change(options);
  try {
    options.check();
  } catch (std::invalid_argument const& error) {
    return error.what();
  }
  return "accepted";
}

// ---- URLs that are accepted ----

TEST(OptionsTest, DefaultsPassTheirOwnCheck) { EXPECT_NO_THROW(Options{}.check()); }

TEST(OptionsTest, HostAloneTakesTheDefaults) {
  auto const options = read("redis://cache.example");
  EXPECT_EQ(options.host, "cache.example");
  EXPECT_EQ(options.port, 6379);
  EXPECT_EQ(options.database, 0);
  EXPECT_EQ(options.user, "");
  EXPECT_EQ(options.password, "");
  EXPECT_EQ(options.unix_socket, "");
  EXPECT_FALSE(options.tls.enabled);
  EXPECT_EQ(options.connect_timeout, 1000ms);
  EXPECT_EQ(options.command_timeout, 2000ms);
  EXPECT_EQ(options.protocol, 3);
}

TEST(OptionsTest, UrlHasEveryPart) {
  auto const options = read("redis://app:secret@cache.example:6380/7?name=billing&protocol=2");
  EXPECT_EQ(options.user, "app");
  EXPECT_EQ(options.password, "secret");
  EXPECT_EQ(options.host, "cache.example");
  EXPECT_EQ(options.port, 6380);
  EXPECT_EQ(options.database, 7);
  EXPECT_EQ(options.name, "billing");
  EXPECT_EQ(options.protocol, 2);
}

TEST(OptionsTest, PasswordNeedsNoUser) {
  auto const options = read("redis://:secret@localhost");
  EXPECT_EQ(options.user, "");
  EXPECT_EQ(options.password, "secret");
}

TEST(OptionsTest, SpecialCharactersInAPasswordArePercentDecoded) {
  EXPECT_EQ(read("redis://:p%40ss%3Aw%2Frd%3f%25%00@localhost").password,
            (std::string{"p@ss:w/rd?%\0", 12}));
}

TEST(OptionsTest, PasswordKeepsWhatNeedsNoEncoding) {
  EXPECT_EQ(read("redis://u:a:b+c&d=e!$'()*,;~[]@localhost").password, "a:b+c&d=e!$'()*,;~[]");
}

TEST(OptionsTest, LastAtSignEndsThePassword) {
  auto const options = read("redis://user:p@ss@localhost");
  EXPECT_EQ(options.password, "p@ss");
  EXPECT_EQ(options.host, "localhost");
}

TEST(OptionsTest, UserAndHostArePercentDecoded) {
  auto const options = read("redis://us%65r:x@cache%2Eexample");
  EXPECT_EQ(options.user, "user");
  EXPECT_EQ(options.host, "cache.example");
}

TEST(OptionsTest, Ipv6AddressStandsInBrackets) {
  auto const options = read("redis://[2001:db8::1]:6380/1");
  EXPECT_EQ(options.host, "2001:db8::1");
  EXPECT_EQ(options.port, 6380);
  EXPECT_EQ(options.database, 1);
  EXPECT_EQ(read("redis://[::1]").host, "::1");
}

TEST(OptionsTest, PortsReachFromOneTo65535) {
  EXPECT_EQ(read("redis://h:1").port, 1);
  EXPECT_EQ(read("redis://h:65535").port, 65535);
}

TEST(OptionsTest, EmptyPathIsDatabaseZero) { EXPECT_EQ(read("redis://h/").database, 0); }

TEST(OptionsTest, DatabaseMayBeAnOption) { EXPECT_EQ(read("redis://h?db=3").database, 3); }

TEST(OptionsTest, RedissIsTls) {
  auto const options =
      read("rediss://h?ca=/a.pem&cert=/c.pem&key=/k%20.pem&server_name=cache&verify=no");
  EXPECT_TRUE(options.tls.enabled);
  EXPECT_EQ(options.tls.ca_file, "/a.pem");
  EXPECT_EQ(options.tls.certificate_file, "/c.pem");
  EXPECT_EQ(options.tls.key_file, "/k .pem");
  EXPECT_EQ(options.tls.server_name, "cache");
  EXPECT_FALSE(options.tls.verify);
  EXPECT_TRUE(read("rediss://h").tls.verify);
  EXPECT_TRUE(read("rediss://h?verify=yes").tls.verify);
}

TEST(OptionsTest, UnixSocketIsItsPath) {
  auto const options = read("unix:///run/my%20redis.sock?db=2");
  EXPECT_EQ(options.unix_socket, "/run/my redis.sock");
  EXPECT_EQ(options.database, 2);
}

TEST(OptionsTest, UnixSocketMayHaveUserAndPassword) {
  auto const options = read("unix://app:secret@/run/a@b.sock");
  EXPECT_EQ(options.user, "app");
  EXPECT_EQ(options.password, "secret");
  EXPECT_EQ(options.unix_socket, "/run/a@b.sock");
}

TEST(OptionsTest, TimeoutsAreMillisecondsOrHaveAUnit) {
  EXPECT_EQ(read("redis://h?connect_timeout=250").connect_timeout, 250ms);
  EXPECT_EQ(read("redis://h?connect_timeout=250ms").connect_timeout, 250ms);
  EXPECT_EQ(read("redis://h?command_timeout=3s").command_timeout, 3s);
  EXPECT_EQ(read("redis://h?command_timeout=86400s").command_timeout, 24h);
}

TEST(OptionsTest, OptionValueMayContainAnEqualsSign) {
  EXPECT_EQ(read("redis://h?name=a=b").name, "a=b");
}

// ---- URLs that are refused ----

TEST(OptionsTest, RefusalShowsWhatWasGivenAndWhatIsAccepted) {
  EXPECT_THAT(refusal("http://cache.example:80"),
              AllOf(HasSubstr("http://cache.example:80"), HasSubstr("unknown scheme \"http\""),
                    HasSubstr("redis://[[user]:password@]host[:port][/database]"),
                    HasSubstr("rediss://"), HasSubstr("unix:///path/to/socket"),
                    HasSubstr("command_timeout"), HasSubstr("verify")));
}

TEST(OptionsTest, UrlWithoutASchemeIsRefused) {
  for (auto const* url :
       {"", "localhost", "localhost:6379", "redis:/localhost", "/run/redis.sock"}) {
    EXPECT_THAT(refusal(url), HasSubstr("no scheme")) << url;
  }
}

TEST(OptionsTest, UnknownSchemeIsRefused) {
  for (auto const* url : {"http://h", "REDIS://h", "redis+tls://h", "://h", "tcp://h"}) {
    EXPECT_THAT(refusal(url), HasSubstr("unknown scheme")) << url;
  }
}

TEST(OptionsTest, PortThatIsNoPortIsRefused) {
  for (auto const* port : {"0", "65536", "-1", "99999999999999999999", "http", "", " 1", "1 ", "+1",
                           "0x10", "63 79"}) {
    EXPECT_THAT(refusal(std::string{"redis://h:"} + port), HasSubstr("no number from 1 to 65535"))
        << port;
    EXPECT_THAT(refusal(std::string{"redis://[::1]:"} + port),
                HasSubstr("no number from 1 to 65535"))
        << port;
  }
}

TEST(OptionsTest, MissingHostIsRefused) {
  for (auto const* url : {"redis://", "redis:///1", "redis://:6379", "redis://:secret@",
                          "redis://[]", "redis://?db=1"}) {
    EXPECT_THAT(refusal(url), HasSubstr("host is missing")) << url;
  }
}

TEST(OptionsTest, HostThatIsNoNameIsRefused) {
  for (auto const* url :
       {"redis://my%20host", "redis://my host", "redis://h%00.example", "redis://h%0a"}) {
    EXPECT_THAT(refusal(url), HasSubstr("host")) << url;
  }
}

TEST(OptionsTest, BrokenIpv6AddressIsRefused) {
  EXPECT_THAT(refusal("redis://[::1"), HasSubstr("closing bracket"));
  EXPECT_THAT(refusal("redis://[::1]6379"), HasSubstr("only a port may follow"));
  EXPECT_NE(refusal("redis://::1"), "accepted");
}

TEST(OptionsTest, MissingSocketPathIsRefused) {
  EXPECT_THAT(refusal("unix://"), HasSubstr("path of the socket is missing"));
  EXPECT_THAT(refusal("unix:///"), HasSubstr("path of the socket is missing"));
  EXPECT_THAT(refusal("unix://run/redis.sock"), HasSubstr("third slash"));
}

TEST(OptionsTest, SocketPathTooLongForTheKernelIsRefused) {
  EXPECT_EQ(read("unix:///" + std::string(106, 'x')).unix_socket.size(), 107U);
  EXPECT_THAT(refusal("unix:///" + std::string(107, 'x')),
              AllOf(HasSubstr("108 bytes"), HasSubstr("at most 107")));
}

TEST(OptionsTest, SocketPathWithNulIsRefused) {
  EXPECT_THAT(refusal("unix:///run/a%00b"), HasSubstr("without NUL"));
}

TEST(OptionsTest, PercentWithoutTwoDigitsIsRefused) {
  for (auto const* host : {"%", "%4", "a%", "%zz", "%4g", "%+1", "% 1", "%-1"}) {
    EXPECT_THAT(refusal(std::string{"redis://"} + host), HasSubstr("two hexadecimal digits"))
        << host;
  }
}

TEST(OptionsTest, UserWithoutAPasswordIsRefused) {
  for (auto const* url :
       {"redis://user@h", "redis://user:@h", "redis://@h", "redis://:@h", "unix://user@/run/s"}) {
    EXPECT_THAT(refusal(url), HasSubstr("a password must follow the user")) << url;
  }
}

TEST(OptionsTest, DatabaseThatIsNoNumberIsRefused) {
  for (auto const* url : {"redis://h/one", "redis://h/-1", "redis://h/1/", "redis://h?db=",
                          "redis://h?db=x", "redis://h/99999999999", "redis://h//1"}) {
    EXPECT_THAT(refusal(url), HasSubstr("the database")) << url;
  }
}

TEST(OptionsTest, UnknownOptionIsRefused) {
  EXPECT_THAT(refusal("redis://h?timeout=1"), HasSubstr("unknown option \"timeout\""));
  EXPECT_THAT(refusal("redis://h?DB=1"), HasSubstr("unknown option \"DB\""));
  EXPECT_THAT(refusal("redis://h?db=1&"), HasSubstr("option \"\" has no value"));
  EXPECT_THAT(refusal("redis://h?"), HasSubstr("option \"\" has no value"));
  EXPECT_THAT(refusal("redis://h?db"), HasSubstr("option \"db\" has no value"));
}

TEST(OptionsTest, OptionOfTlsIsRefusedWithoutTls) {
  EXPECT_THAT(refusal("redis://h?ca=/a.pem"), HasSubstr("unknown option \"ca\""));
  EXPECT_THAT(refusal("unix:///s?verify=no"), HasSubstr("unknown option \"verify\""));
}

TEST(OptionsTest, BadOptionValueIsRefused) {
  EXPECT_THAT(refusal("redis://h?protocol=4"), HasSubstr("no number from 2 to 3"));
  EXPECT_THAT(refusal("redis://h?protocol=RESP3"), HasSubstr("no number from 2 to 3"));
  EXPECT_THAT(refusal("rediss://h?verify=maybe"), HasSubstr("not yes or no"));
  EXPECT_THAT(refusal("rediss://h?cert=/c.pem"),
              HasSubstr("certificate_file and key_file together"));
  EXPECT_THAT(refusal("redis://h?name=two%20words"), HasSubstr("without spaces"));
}

TEST(OptionsTest, TimeoutThatIsNoneIsRefused) {
  for (auto const* value : {"0", "0ms", "-5", "", "s", "ms", "1h", "1.5s", "forever", "86401s",
                            "99999999999999999999"}) {
    EXPECT_THAT(refusal(std::string{"redis://h?command_timeout="} + value),
                HasSubstr("command_timeout \""))
        << value;
    EXPECT_THAT(refusal(std::string{"redis://h?connect_timeout="} + value),
                HasSubstr("connect_timeout \""))
        << value;
  }
}

TEST(OptionsTest, NoRefusalShowsThePassword) {
  for (auto const* url : {
           "redis://user:hunter2@h:0",           // the well-formed place
           "redis://user:hunter2@h?nonsense=1",  //
           "redis://:hunter2@",                  //
           "redis://user:hunter2%@h",            //
           "http://user:hunter2@h",              // the wrong scheme
           "user:hunter2@h",                     // none
           "redis:user:hunter2@h",               //
           "user:hunter2@redis://h",             // where the scheme should be
           "redis://user:hun/hunter2@h",         // characters that should have been percent-encoded
           "redis://user:hunter2/x@h",           //
           "redis://user:hunter2?x@h",           //
           "redis://user:x?hunter2@h",           //
           "redis://user:x?db=hunter2@h",        //
           "redis://user:hunter2#x@h:port",      //
           "redis://user:x@hunter2@h:0",         //
           "unix://user:hunter2@run/redis.sock",     //
           "unix://user:hunter2/x@/run/redis.sock",  //
           "redis://h?password=hunter2",             // as other libraries take it
           "redis://h/1?db=0&password=hunter2&x=1",  //
           "redis://hunter2:h@h:0?name=a@b",         // an @ behind it
       }) {
    EXPECT_THAT(refusal(url), AllOf(Not("accepted"), Not(HasSubstr("hunter2")))) << url;
  }
}

// ---- Fields ----

TEST(OptionsTest, CheckNamesTheFieldWhatItIsAndWhatIsAccepted) {
  EXPECT_EQ(refusal([](Options& o) { o.protocol = 4; }),
            "tandem: Options::protocol is 4; accepted is 2 or 3");
}

TEST(OptionsTest, EmptyHostIsRefused) {
  EXPECT_THAT(refusal([](Options& o) { o.host = ""; }), HasSubstr("Options::host is empty"));
}

TEST(OptionsTest, HostWithSpaceOrControlIsRefused) {
  for (auto const& host : {std::string{"a b"}, std::string{"a\0b", 3}, std::string{"a\n"}}) {
    EXPECT_THAT(refusal([&](Options& o) { o.host = host; }), HasSubstr("Options::host"));
  }
}

TEST(OptionsTest, PortZeroIsRefused) {
  EXPECT_THAT(refusal([](Options& o) { o.port = 0; }), HasSubstr("Options::port is 0"));
}

TEST(OptionsTest, HostAndPortDoNotMatterBesideAUnixSocket) {
  EXPECT_EQ(refusal([](Options& o) {
              o.unix_socket = "/run/redis.sock";
              o.host = "";
              o.port = 0;
            }),
            "accepted");
}

TEST(OptionsTest, UnixSocketThatTheKernelCannotTakeIsRefused) {
  EXPECT_THAT(refusal([](Options& o) { o.unix_socket = std::string(108, 'x'); }),
              HasSubstr("Options::unix_socket"));
  EXPECT_THAT(refusal([](Options& o) {
                o.unix_socket = std::string{"/a\0b", 4};
              }),
              HasSubstr("Options::unix_socket"));
}

TEST(OptionsTest, NegativeDatabaseIsRefused) {
  EXPECT_THAT(refusal([](Options& o) { o.database = -1; }), HasSubstr("Options::database is -1"));
}

TEST(OptionsTest, UserWithoutPasswordIsRefusedAsAField) {
  EXPECT_THAT(refusal([](Options& o) { o.user = "app"; }),
              HasSubstr("Options::password is empty beside a user"));
}

TEST(OptionsTest, NameThatClientListCannotShowIsRefused) {
  for (auto const& name : {"two words", "line\n", "tab\t", "\xc3\xa4", "\x7f"}) {
    EXPECT_THAT(refusal([&](Options& o) { o.name = name; }), HasSubstr("Options::name")) << name;
  }
}

TEST(OptionsTest, TimeoutsReachFromAMillisecondToADay) {
  for (auto const timeout : {0ms, -1ms, std::chrono::milliseconds{24h} + 1ms,
                             std::chrono::milliseconds::max(), std::chrono::milliseconds::min()}) {
    EXPECT_THAT(refusal([&](Options& o) { o.connect_timeout = timeout; }),
                HasSubstr("Options::connect_timeout"));
    EXPECT_THAT(refusal([&](Options& o) { o.command_timeout = timeout; }),
                HasSubstr("Options::command_timeout"));
  }
  for (auto const timeout : {std::chrono::milliseconds{1}, std::chrono::milliseconds{24h}}) {
    EXPECT_EQ(refusal([&](Options& o) { o.connect_timeout = o.command_timeout = timeout; }),
              "accepted");
  }
}

TEST(OptionsTest, ProtocolOtherThanTwoOrThreeIsRefused) {
  for (int const protocol : {-1, 0, 1, 4}) {
    EXPECT_THAT(refusal([&](Options& o) { o.protocol = protocol; }), HasSubstr("Options::protocol"))
        << protocol;
  }
}

TEST(OptionsTest, FewerThanOneConnectionIsRefused) {
  for (int const count : {0, -1}) {
    EXPECT_THAT(refusal([&](Options& o) { o.max_connections = count; }),
                HasSubstr("Options::max_connections"));
  }
}

TEST(OptionsTest, CertificateWithoutItsKeyIsRefused) {
  EXPECT_THAT(refusal([](Options& o) { o.tls.certificate_file = "c.pem"; }),
              HasSubstr("Options::tls"));
  EXPECT_THAT(refusal([](Options& o) { o.tls.key_file = "k.pem"; }), HasSubstr("Options::tls"));
}

// ---- Where, and to whom ----

TEST(OptionsTest, EndpointSaysWhereWithoutAnySecret) {
  EXPECT_EQ(read("redis://user:secret@h:1/2").endpoint(), "redis://h:1");
  EXPECT_EQ(read("rediss://:secret@h").endpoint(), "rediss://h:6379");
  EXPECT_EQ(read("redis://[::1]:1").endpoint(), "redis://[::1]:1");
  EXPECT_EQ(read("unix://:secret@/run/redis.sock?db=1").endpoint(), "unix:///run/redis.sock");
}

TEST(OptionsTest, ReportGoesToOnError) {
  std::string told;
  Options options;
  options.on_error = [&](Error const& error) { told = error.what(); };
  options.report(LockLost{"text"});
  EXPECT_EQ(told, "text");
}

TEST(OptionsTest, ReportSwallowsWhatOnErrorThrows) {
  Options options;
  options.on_error = [](Error const&) { throw std::runtime_error{"oops"}; };
  EXPECT_NO_THROW(options.report(Error{"text"}));
  options.on_error = [](Error const&) { throw 1; };
  EXPECT_NO_THROW(options.report(Error{"text"}));
}

TEST(OptionsTest, ReportWithoutOnErrorIsOneLineThatNamesTheLibraryOnce) {
  for (auto const* text : {"WRONGTYPE Operation", "tandem: WRONGTYPE Operation"}) {
    ::testing::internal::CaptureStderr();
    Options{}.report(Error{text});
    EXPECT_EQ(::testing::internal::GetCapturedStderr(), "tandem: WRONGTYPE Operation\n");
  }
}

}  // namespace
}  // namespace tandem
