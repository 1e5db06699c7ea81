#!/usr/bin/env escript
%% Scenarios with RabbitMQ's Erlang client, as Debian's server package brings it:
%%     escript scenarios.escript FOLDER [NAME...]
-module(scenarios).
-mode(compile).
-export([main/1]).

-record('P_basic', {content_type, content_encoding, headers, delivery_mode, priority,
                    correlation_id, reply_to, expiration, message_id, timestamp, type, user_id,
                    app_id, cluster_id}).

main([Folder | Wanted]) ->
    logger:set_primary_config(level, none),
    [code:add_pathz(Path) || Path <- filelib:wildcard(Folder ++ "/*/plugins/*/ebin")],
    {ok, _} = application:ensure_all_started(amqp_client),
    [perform(Name, Run) || {Name, Run} <- all(), Wanted =:= [] orelse lists:member(Name, Wanted)].

all() ->
    [{"connect-plain", fun connect_plain/2}, {"topology", fun topology/2},
     {"consume-ack", fun consume_ack/2}, {"requeue", fun requeue/2},
     {"confirms", fun confirms/2}, {"order", fun order/2}].

perform(Name, Run) ->
    try
        {ok, Connection} = amqp_connection:start(network_parameters()),
        {ok, Channel} = amqp_connection:open_channel(Connection),
        Run(Connection, Channel),
        ok = amqp_connection:close(Connection),
        io:format("ok ~s~n", [Name])
    catch _:Reason -> io:format("not ok ~s - ~0p~n", [Name, Reason])
    end.

%% The records of the client are tuples whose first fields are the methods' own.
network_parameters() ->
    {ok, Parameters} = amqp_uri:parse("amqp://guest:guest@localhost:5672/%2f"),
    Parameters.

declare(Channel, Queue, Durable, Exclusive) ->
    Declare = {'queue.declare', 0, Queue, false, Durable, Exclusive, false, false, []},
    {'queue.declare_ok', Name, _, _} = amqp_channel:call(Channel, Declare),
    Name.

count(Channel, Queue) ->
    Passive = {'queue.declare', 0, Queue, true, false, false, false, false, []},
    {'queue.declare_ok', Queue, Count, _} = amqp_channel:call(Channel, Passive),
    Count.

publish(Channel, Exchange, Key, Body, Properties) ->
    Publish = {'basic.publish', 0, Exchange, Key, false, false},
    ok = amqp_channel:cast(Channel, Publish, {amqp_msg, Properties, Body}).

publish(Channel, Queue, Body) -> publish(Channel, <<>>, Queue, Body, #'P_basic'{}).

consume(Channel, Queue, NoAck) ->
    Consume = {'basic.consume', 0, Queue, <<>>, false, NoAck, false, false, []},
    {'basic.consume_ok', Tag} = amqp_channel:subscribe(Channel, Consume, self()),
    receive {'basic.consume_ok', Tag} -> Tag end.

next() ->
    receive {{'basic.deliver', _, Tag, Redelivered, _, _}, {amqp_msg, _, Body}} ->
        {Tag, Redelivered, Body}
    after 10000 -> error(nothing_came)
    end.

connect_plain(Connection, _) ->
    [{server_properties, Properties}] = amqp_connection:info(Connection, [server_properties]),
    {<<"product">>, longstr, <<"RabbitMQ">>} = lists:keyfind(<<"product">>, 1, Properties).

topology(Connection, Channel) ->
    X = <<"erlang.exchange">>,
    Q = declare(Channel, <<"erlang.queue">>, true, false),
    Exchange = {'exchange.declare', 0, X, <<"topic">>, false, false, true, false, false, []},
    {'exchange.declare_ok'} = amqp_channel:call(Channel, Exchange),
    {'queue.bind_ok'} = amqp_channel:call(Channel, {'queue.bind', 0, Q, X, <<"a.#">>, false, []}),
    publish(Channel, X, <<"a.b.c">>, <<"m">>, #'P_basic'{}),
    Get = {'basic.get', 0, Q, true},
    {{'basic.get_ok', _, _, X, <<"a.b.c">>, 0}, {amqp_msg, _, <<"m">>}} =
        amqp_channel:call(Channel, Get),
    {'basic.get_empty', _} = amqp_channel:call(Channel, Get),
    {'queue.unbind_ok'} = amqp_channel:call(Channel, {'queue.unbind', 0, Q, X, <<"a.#">>, []}),
    {'queue.delete_ok', 0} = amqp_channel:call(Channel, {'queue.delete', 0, Q, false, false, false}),
    {ok, Other} = amqp_connection:open_channel(Connection),
    try count(Other, Q) of _ -> error(still_there)
    catch exit:{{shutdown, {server_initiated_close, 404, _}}, _} -> ok
    end.

consume_ack(_, Channel) ->
    Q = declare(Channel, <<>>, false, true),
    consume(Channel, Q, false),
    Numbers = lists:seq(1, 100),
    [publish(Channel, Q, integer_to_binary(Number)) || Number <- Numbers],
    Bodies = [begin
                  {Tag, false, Body} = next(),
                  ok = amqp_channel:cast(Channel, {'basic.ack', Tag, false}),
                  binary_to_integer(Body)
              end || _ <- Numbers],
    Numbers = Bodies,
    0 = count(Channel, Q).

requeue(_, Channel) ->
    Q = declare(Channel, <<>>, false, true),
    consume(Channel, Q, false),
    publish(Channel, Q, <<"m">>),
    {First, false, _} = next(),
    ok = amqp_channel:cast(Channel, {'basic.nack', First, false, true}),
    {Second, true, _} = next(),
    ok = amqp_channel:cast(Channel, {'basic.reject', Second, false}),
    0 = count(Channel, Q).

confirms(_, Channel) ->
    Q = declare(Channel, <<"erlang.confirms">>, true, false),
    {'confirm.select_ok'} = amqp_channel:call(Channel, {'confirm.select', false}),
    Persistent = #'P_basic'{delivery_mode = 2},
    [publish(Channel, <<>>, Q, integer_to_binary(N), Persistent) || N <- lists:seq(1, 1000)],
    true = amqp_channel:wait_for_confirms(Channel, 20),
    1000 = count(Channel, Q),
    Delete = {'queue.delete', 0, Q, false, false, false},
    {'queue.delete_ok', 1000} = amqp_channel:call(Channel, Delete).

order(_, Channel) ->
    Q = declare(Channel, <<>>, false, true),
    consume(Channel, Q, true),
    Numbers = lists:seq(1, 10000),
    [publish(Channel, Q, integer_to_binary(Number)) || Number <- Numbers],
    Numbers = [begin {_, false, Body} = next(), binary_to_integer(Body) end || _ <- Numbers].
