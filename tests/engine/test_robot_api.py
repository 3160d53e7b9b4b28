"""PTR records against the lab's Robot: what each answer leads to, how often it is asked, and that it is waited for, but not for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab.robot import Fault, Robot, default_name
from providers.host.errors import ServerError
from providers.reverse_dns import ReverseDnsProvider, records_of
from providers.robot.client import Robot as Client
from providers.robot.client import RobotError
from providers.robot.ptr_records import PtrRecords

IPV4, IPV6, NAME = "192.0.2.10", "2001:db8:1::25", "mail.example.net"
PASSWORD = "planted-robot-password-93fe"  # noqa: S105 - planted to be looked for


@pytest.fixture
def robot() -> Iterator[Robot]:
    with Robot([f"{IPV4}/32", "2001:db8:1::/64"], password=PASSWORD) as robot:
        yield robot


def account(robot: Robot, password: str = PASSWORD, wait: float = 20, timeout: float = 0.6) -> PtrRecords:
    return PtrRecords(Client(robot.url, robot.user, password, wait, timeout))


def test_a_record_that_is_not_there_is_made(robot: Robot) -> None:
    account(robot).write(IPV6, NAME)
    assert robot.ptrs[IPV6] == NAME
    assert [(m, s) for m, _, s in robot.requests] == [("GET", 200), ("PUT", 201)]


def test_a_record_that_says_so_already_is_adopted_without_a_write(robot: Robot) -> None:
    robot.ptrs[IPV6] = "Mail.Example.NET"
    account(robot).write(IPV6, NAME)
    assert robot.counted() == {"GET /rdns": 1}


def test_the_hosters_own_name_and_anybody_elses_is_replaced(robot: Robot) -> None:
    robot.ptrs[IPV6] = "other.example.net"
    found = account(robot)
    found.write(IPV4, NAME)
    found.write(IPV6, NAME)
    assert robot.ptrs == {IPV4: NAME, IPV6: NAME}
    assert robot.counted() == {"GET /rdns": 1, "POST /rdns/{ip}": 2}


def test_a_record_made_since_the_list_is_compared_before_it_is_replaced(robot: Robot) -> None:
    found = account(robot)
    assert found.listed(IPV6) is None
    robot.ptrs[IPV6] = NAME
    found.write(IPV6, NAME)
    assert robot.counted() == {"GET /rdns": 1, "PUT /rdns/{ip}": 1, "GET /rdns/{ip}": 1}
    other = "2001:db8:1::26"
    robot.ptrs[other] = "other.example.net"
    found.write(other, NAME)
    assert robot.ptrs[other] == NAME


def test_an_account_without_any_record_has_an_empty_list(robot: Robot) -> None:
    robot.ptrs.clear()
    assert account(robot).listed(IPV6) is None


def test_what_the_list_lacks_is_asked_for_before_it_is_said_to_be_gone(robot: Robot) -> None:
    found = account(robot)
    assert found.listed(IPV6) is None
    robot.ptrs[IPV6] = NAME
    assert found.read(IPV6) == NAME
    assert found.read("2001:db8:1::26") is None


def test_delete_gives_the_hosters_name_back_and_removes_what_it_has_none_for(robot: Robot) -> None:
    robot.ptrs |= {IPV4: NAME, IPV6: NAME}
    found = account(robot)
    assert found.remove(IPV4, NAME) == found.remove(IPV6, NAME) == ""
    assert robot.ptrs == {IPV4: default_name(IPV4)}


def test_a_record_that_somebody_changed_is_kept_by_a_delete(robot: Robot) -> None:
    robot.ptrs[IPV6] = "other.example.net"
    assert account(robot).remove(IPV6, NAME) == "other.example.net"
    assert robot.ptrs[IPV6] == "other.example.net"


def test_what_is_gone_already_can_be_deleted(robot: Robot) -> None:
    robot.ptrs[IPV6] = NAME
    found = account(robot)
    found.listed(IPV6)
    del robot.ptrs[IPV6]
    assert found.remove(IPV6, NAME) == ""
    assert found.remove("2001:db8:9::1", NAME) == ""


def test_an_address_of_another_account_is_neither_written_nor_said_to_be_gone(robot: Robot) -> None:
    found = account(robot)
    for do in (lambda: found.write("2001:db8:9::1", NAME), lambda: found.read("2001:db8:9::1")):
        with pytest.raises(RobotError, match=r"2001:db8:9::1: the account of robotUser at Robot has no such address"):
            do()


# What goes wrong, and what the error then says; none where it comes right in the end.
FAULTS: list[tuple[str, Fault, str]] = [
    ("400", Fault("error", 1, "PUT", status=400, code="INVALID_INPUT"), "does not take the PTR mail.example.net"),
    ("403", Fault("error", 1, "PUT", status=403, code="FORBIDDEN"), "refused PUT /rdns/{ip}: 403 FORBIDDEN"),
    ("404", Fault("error", 1, "PUT", status=404, code="IP_NOT_FOUND"), "has no such address"),
    ("409 once", Fault("error", 1, "PUT", status=409, code="RDNS_ALREADY_EXISTS"), ""),
    ("409 of the other kind", Fault("error", 1, "PUT", status=409, code="CONFLICT"), ""),
    ("500 twice", Fault("error", 2, "PUT", status=500, code="RDNS_CREATE_FAILED"), ""),
    ("500 again", Fault("error", 9, "PUT", status=500, code="RDNS_CREATE_FAILED"), "500 RDNS_CREATE_FAILED"),
    ("503 twice", Fault("error", 2, "PUT"), ""),
    ("503 of a proxy", Fault("not-json", 1, "PUT", status=503), ""),
    ("503 with a time", Fault("error", 1, "PUT", headers={"Retry-After": "1"}), ""),
    ("503 for too long", Fault("error", 1, "PUT", headers={"Retry-After": "900"}), "Robot is in maintenance"),
    ("slow once", Fault("slow", 1, "PUT", seconds=1), ""),
    ("slow list", Fault("slow", 9, "GET", seconds=1), "nothing came within 1 s"),
    ("dripping list", Fault("dripping", 9, "GET", seconds=0.1), "not whole within 1 s"),
    ("truncated once", Fault("truncated", 1, "PUT"), ""),
    ("truncated list", Fault("truncated", 9, "GET"), "the answer was cut off after"),
    ("not JSON once", Fault("not-json", 1, "GET", status=200), ""),
    ("not JSON", Fault("not-json", 9, "GET", status=200), "(200) is not JSON but text/html, 48 bytes"),
    ("a bad gateway", Fault("not-json", 9, "GET", status=502), "(502) is not JSON but text/html"),
    ("hung up once", Fault("hang-up", 1, "PUT"), ""),
    ("redirected", Fault("not-json", 9, "GET", status=302, headers={"Location": "http://127.0.0.1:9/"}), "redirects"),
]


@pytest.mark.parametrize(("fault", "told"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
def test_a_fault_ends_in_the_right_record_or_in_one_clear_error(robot: Robot, fault: Fault, told: str) -> None:
    robot.faults.append(fault.__class__(**vars(fault)))
    if not told:
        account(robot).write(IPV6, NAME)
        assert robot.ptrs[IPV6] == NAME
        return
    with pytest.raises(RobotError) as error:
        account(robot).write(IPV6, NAME)
    text = str(error.value)
    assert text.startswith(f"{IPV6}: ")
    assert told in text
    assert "Traceback" not in text
    assert PASSWORD not in text
    assert not robot.faults or len(robot.requests) <= 4, "it is not asked for ever"


def test_a_password_that_an_answer_echoes_is_not_told(robot: Robot) -> None:
    robot.faults.append(Fault("error", 1, "PUT", status=403, code=f"NO_{PASSWORD}"))
    with pytest.raises(RobotError) as error:
        account(robot).write(IPV6, NAME)
    assert PASSWORD not in str(error.value)


def test_a_service_that_cannot_be_reached_is_tried_three_times_in_a_run_not_for_each_address(robot: Robot) -> None:
    robot.faults.append(Fault("hang-up", 99))
    found = account(robot)
    for last in range(1, 6):
        with pytest.raises(RobotError, match=r"no answer of Robot's|not tried, as Robot did not answer"):
            found.write(f"2001:db8:1::{last}", NAME)
    assert len(robot.requests) == 3


def test_many_resources_at_once_make_one_attempt_to_log_in_with_a_wrong_password(robot: Robot) -> None:
    found, errors = account(robot, "wrong"), []

    def write(last: int) -> None:
        try:
            found.write(f"2001:db8:1::{last}", NAME)
        except RobotError as error:
            errors.append(str(error))

    threads = [threading.Thread(target=write, args=(last,)) for last in range(1, 21)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [status for _, _, status in robot.requests] == [401]
    assert len(errors) == 20
    assert sum("robotUser or robotPassword is wrong" in error for error in errors) == 1
    assert sum("not tried, as Robot refused the login (see 2001:db8:1::" in error for error in errors) == 19
    assert robot.locked_until == {}


def test_a_login_that_stops_being_good_is_not_tried_again_either(robot: Robot) -> None:
    found = account(robot)
    found.write(IPV6, NAME)
    robot.password = "changed"  # noqa: S105
    for last in (1, 2):
        with pytest.raises(RobotError, match="Robot refused the login"):
            found.write(f"2001:db8:1::{last}", NAME)
    assert [status for _, _, status in robot.requests].count(401) == 1


def test_the_labs_robot_locks_out_after_three_wrong_logins(robot: Robot) -> None:
    for _ in range(3):
        with pytest.raises(RobotError):
            account(robot, "wrong").write(IPV6, NAME)
    with pytest.raises(RobotError, match="locked out"):
        account(robot).write(IPV6, NAME)


def test_a_limit_that_ends_soon_is_waited_out(robot: Robot) -> None:
    robot.limit, robot.interval = 3, 4
    found = account(robot, wait=30)
    for last in range(1, 6):
        found.write(f"2001:db8:1::{last}", NAME)
    assert len(robot.ptrs) == 6
    assert 0 < found.robot.waited <= 30


def test_a_limit_of_an_hour_is_told_with_what_is_done_and_when_to_come_again(robot: Robot) -> None:
    robot.limit = 3
    found, begun = account(robot, wait=60), time.monotonic()
    told = []
    for last in range(1, 7):
        try:
            found.write(f"2001:db8:1::{last}", NAME)
        except RobotError as error:
            told.append(str(error))
    assert time.monotonic() - begun < 5
    assert len(told) == 3
    assert "2001:db8:1::4: Robot's limit of 3 requests in 3600 s to PUT /rdns/{ip} is used up" in told[0]
    assert "run it again at " in told[0]
    assert "3 PTR records were written in this run and stay so; what is left" in told[0]
    assert told[2] == "2001:db8:1::6: left to do: not tried, as a limit of Robot's is used up (see 2001:db8:1::4)"
    assert [s for _, _, s in robot.requests].count(403) == 1, "the closed limit is not hammered"


def test_maintenance_is_waited_for_as_long_as_all_resources_together_may_wait(robot: Robot) -> None:
    robot.faults.append(Fault("error", 999))
    found, begun = account(robot, wait=4), time.monotonic()
    for last in range(1, 4):
        with pytest.raises(
            RobotError,
            match=r"in maintenance; 4 s were waited|not tried, as Robot is in maintenance \(see 2001:db8:1::1\)",
        ):
            found.write(f"2001:db8:1::{last}", NAME)
    assert 3.5 < time.monotonic() - begun < 8


def test_two_hundred_addresses_take_one_list_and_one_write_each(robot: Robot) -> None:
    wanted = {IPV4: NAME, **{f"2001:db8:1::{n:x}": f"g{n}.example.net" for n in range(1, 200)}}
    found = account(robot)
    for ip, ptr in wanted.items():
        found.write(ip, ptr)
    assert robot.ptrs == wanted
    assert robot.counted() == {"GET /rdns": 1, "PUT /rdns/{ip}": 199, "POST /rdns/{ip}": 1}
    robot.requests.clear()
    found = account(robot)
    assert {ip: found.read(ip) for ip in wanted} == wanted
    assert robot.counted() == {"GET /rdns": 1}
    robot.requests.clear()
    found = account(robot)
    assert not any(found.remove(ip, ptr) for ip, ptr in wanted.items())
    assert robot.counted() == {"GET /rdns": 1, "DELETE /rdns/{ip}": 200}


def configured(robot: Robot, **config: Any) -> ReverseDnsProvider:
    provider = ReverseDnsProvider()
    full = {"robotUser": robot.user, "robotPassword": PASSWORD, "rdns": f'{{"endpoint": "{robot.url}"}}', **config}
    provider.config = full.get
    return provider


def test_two_guests_that_swap_their_addresses_keep_their_records(robot: Robot) -> None:
    provider = configured(robot)
    provider.create({"ip": IPV6, "ptr": NAME})
    provider.update(IPV6, {"ip": IPV6, "ptr": NAME}, {"ip": IPV6, "ptr": "web.example.net"})
    provider.delete(IPV6, {"ip": IPV6, "ptr": NAME})
    assert robot.ptrs[IPV6] == "web.example.net"


def test_a_login_that_is_not_set_is_asked_for_by_name(robot: Robot) -> None:
    with pytest.raises(ServerError, match="there is no sixstead:robotPassword"):
        configured(robot, robotPassword=None).create({"ip": IPV6, "ptr": NAME})
    assert robot.requests == []


def test_a_record_is_removed_where_it_was_made_after_its_section_left_the_config(robot: Robot) -> None:
    robot.ptrs[IPV6] = NAME
    configured(robot, rdns=None).delete(IPV6, {"ip": IPV6, "ptr": NAME, "endpoint": robot.url})
    assert IPV6 not in robot.ptrs


def test_all_providers_of_a_process_share_one_account(robot: Robot) -> None:
    config = configured(robot).config
    assert records_of(config, {}) is records_of(configured(robot).config, {})
    assert records_of(config, {}).robot.wait == 300
