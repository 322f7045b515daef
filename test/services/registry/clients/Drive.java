import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.rackspacecloud.client.service_registry.HeartBeater;
import com.rackspacecloud.client.service_registry.MethodOptions;
import com.rackspacecloud.client.service_registry.auth.Token;
import com.rackspacecloud.client.service_registry.clients.AccountClient;
import com.rackspacecloud.client.service_registry.clients.AuthClient;
import com.rackspacecloud.client.service_registry.clients.ConfigurationClient;
import com.rackspacecloud.client.service_registry.clients.EventsClient;
import com.rackspacecloud.client.service_registry.clients.ServicesClient;
import com.rackspacecloud.client.service_registry.events.client.HeartbeatAckEvent;
import com.rackspacecloud.client.service_registry.events.client.HeartbeatErrorEvent;
import com.rackspacecloud.client.service_registry.events.client.HeartbeatEventListener;
import com.rackspacecloud.client.service_registry.events.client.HeartbeatStoppedEvent;
import com.rackspacecloud.client.service_registry.exceptions.ValidationException;
import com.rackspacecloud.client.service_registry.objects.ConfigurationValueRemovedEventPayload;
import com.rackspacecloud.client.service_registry.objects.ConfigurationValueUpdatedEventPayload;
import com.rackspacecloud.client.service_registry.objects.Event;
import com.rackspacecloud.client.service_registry.objects.HasId;
import java.lang.reflect.Field;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Callable;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.http.impl.client.DefaultHttpClient;

/**
 * Drives the published Java client of the Cloud Service Registry through what it offers: one line of JSON per step.
 *
 * java --class-path … Drive.java URL USER API_KEY. The account may have four services at a time.
 */
public class Drive {
    private static final Gson JSON = new GsonBuilder().serializeNulls().disableHtmlEscaping().create();
    private static final String ID = "production/cassandra/listen_ip";
    private static final List<String> TAGS = Collections.singletonList("web");
    private static final Map<String, String> METADATA = Collections.singletonMap("region", "dfw");

    private static final String TOKEN = "d1b08505-ec9d-11f1-96cd-59270728d6a9";

    private final String url;
    private final String user;
    private final AuthClient auth;
    private final ServicesClient services;
    private final ConfigurationClient configuration;
    private final EventsClient events;
    private final AccountClient account;

    // Client has no argument for the identity service; its parts have.
    Drive(String url, String user, String apiKey) {
        this.url = url;
        this.user = user;
        auth = new AuthClient(new DefaultHttpClient(), user, apiKey, "us", url + "/v2.0");
        services = new ServicesClient(auth, url + "/v1.0");
        configuration = new ConfigurationClient(auth, url + "/v1.0");
        events = new EventsClient(auth, url + "/v1.0");
        account = new AccountClient(auth, url + "/v1.0");
    }

    static void tell(String step, Object... pairs) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("step", step);
        for (int i = 0; i < pairs.length; i += 2) line.put((String) pairs[i], pairs[i + 1]);
        System.out.println(JSON.toJson(line));
        System.out.flush();
    }

    static <T> T step(String name, Callable<T> call) {
        try {
            T result = call.call();
            tell(name, "result", result instanceof HasId || result instanceof Map ? result : "done");
            return result;
        } catch (ValidationException error) {
            tell(name, "raised", "ValidationException", "code", error.getCode(), "type", error.getType(),
                "message", error.getMessage(), "details", error.getDetails(), "txnId", error.getTxnId());
        } catch (Exception error) {
            tell(name, "raised", error.getClass().getSimpleName(), "text", error.getMessage());
        }
        return null;
    }

    static void ids(String name, Iterator<? extends HasId> all) {
        List<String> ids = new ArrayList<>();
        while (all.hasNext()) ids.add(all.next().getId());
        tell(name, "ids", ids);
    }

    static MethodOptions page(int limit) {
        return new MethodOptions(limit, null);
    }

    /** What the client does not offer, by the token that it has. */
    int send(String method, String path) throws Exception {
        HttpRequest request = HttpRequest
            .newBuilder(URI.create(url + "/v1.0/" + auth.getAuthToken().getTenant().get("id") + path))
            .header("X-Auth-Token", auth.getAuthToken().getId())
            .method(method, HttpRequest.BodyPublishers.noBody())
            .build();
        return HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).statusCode();
    }

    void authenticate() throws Exception {
        step("a wrong key", () -> new AuthClient(new DefaultHttpClient(), user, "wrong", "us", url + "/v2.0").authenticate());
        step("limits", () -> account.getLimits().getResource());
        tell("rates", "result", account.getLimits().getRate().keySet());
        String token = auth.getAuthToken().getId();
        account.getLimits();
        tell("the token is kept", "same", token.equals(auth.getAuthToken().getId()));
        long left = auth.getAuthToken().getExpires() - System.currentTimeMillis();
        long day = 24 * 3600_000L;
        tell("the token ends", "hours", Math.round(left / 3600_000.0), "withinItsLife", left <= day);
    }

    /**
     * Once for each part: the client does not read an answer of 401, which costs that part one of its two connections.
     */
    void stale() throws Exception {
        spoil();
        step("a stale token", () -> account.getLimits().getResource());
        spoil();
        step("a stale token with a body", () -> configuration.set("bare", "stale"));
    }

    void spoil() throws Exception {
        Field id = Token.class.getDeclaredField("id");
        id.setAccessible(true);
        id.set(auth.getAuthToken(), "stale");
    }

    void configure() throws Exception {
        step("set", () -> configuration.set(ID, "127.0.0.1"));
        step("set with its slash", () -> configuration.set("/" + ID, "::1"));
        step("set bare", () -> configuration.set("bare", "gr\u00fcn"));
        step("get", () -> configuration.get(ID));
        step("get with its slash", () -> configuration.get("/" + ID));
        step("get bare", () -> configuration.get("bare"));
        step("get what is missing", () -> configuration.get("nothing"));
        step("set too long", () -> configuration.set("long", String.join("", Collections.nCopies(1025, "v"))));
        step("set in a bad namespace", () -> configuration.set("/production.foo/test", "v"));
        ids("list", configuration.list(page(2)));
        ids("list of a namespace", configuration.list(page(2), "production/cassandra"));
        tell("remove", "status", send("DELETE", "/configuration/bare"));
    }

    static HeartbeatEventListener telling(BlockingQueue<String> heard) {
        return new HeartbeatEventListener() {
            @Override public void onAck(HeartbeatAckEvent ack) {
                heard.add("ack " + ack.getHttpStatus());
            }

            @Override public void onStopped(HeartbeatStoppedEvent stopped) {
                heard.add("stopped " + stopped.getHttpStatus());
            }

            @Override public void onError(HeartbeatErrorEvent error) {
                heard.add("error " + error.getError());
            }
        };
    }

    void serve() throws Exception {
        BlockingQueue<String> heard = new LinkedBlockingQueue<>();
        // Less than 7 seconds make it sleep for less than nothing.
        HeartBeater beater = services.create("web-1", 8, TAGS, METADATA).getHeartbeater();
        beater.addEventListener(telling(heard));
        beater.start();
        List<String> beats = new ArrayList<>();
        for (int i = 0; i < 6; i++) beats.add(heard.poll(10, TimeUnit.SECONDS));
        beater.stop();
        String last = heard.poll(10, TimeUnit.SECONDS);
        tell("heartbeater", "heard", beats, "last", last);
        step("get", () -> services.get("web-1"));
        step("get what is missing", () -> services.get("nobody"));
        step("get a bad id", () -> services.get("a"));
        step("create what is there", () -> services.create("web-1", 8, TAGS, METADATA));
        step("create with a long name", () -> services.create(String.join("", Collections.nCopies(66, "w")), 8, TAGS, METADATA));
        step("create with a bad timeout", () -> services.create("web-9", 121, TAGS, METADATA));
        for (String id : new String[] {"web-2", "web-3", "web-4"})
            step("create " + id, () -> services.create(id, 60, TAGS, METADATA));
        step("create too many", () -> services.create("web-5", 60, TAGS, METADATA));
        ids("list", services.list(page(2)));
        ids("list without options", services.list(new MethodOptions()));
        step("update", () -> services.update("web-2", Collections.singletonList("www"), null));
        step("get web-2", () -> services.get("web-2"));
        ids("list by tag", services.list(page(2), "web"));
        ids("list by a bad tag", services.list(page(2), "a"));
        step("delete", () -> services.delete("web-4"));
        step("create without tags", () -> services.create("web-5", 60, null, null));
        step("get web-5", () -> services.get("web-5"));
        step("delete what is gone", () -> services.delete("web-4"));
        HeartBeater gone = new HeartBeater(auth, "web-4", TOKEN, 60, url + "/v1.0");
        gone.addEventListener(telling(heard));
        gone.start();
        tell("heartbeater of what is gone", "heard", heard.poll(10, TimeUnit.SECONDS));
    }

    static Map<String, Object> told(Event event) {
        Map<String, Object> line = new LinkedHashMap<>();
        line.put("type", event.getType().toString());
        if (event.getPayload() instanceof ConfigurationValueUpdatedEventPayload) {
            ConfigurationValueUpdatedEventPayload payload = (ConfigurationValueUpdatedEventPayload) event.getPayload();
            line.put("id", payload.getConfigurationId());
            line.put("old", payload.getOldValue());
            line.put("new", payload.getNewValue());
        } else if (event.getPayload() instanceof ConfigurationValueRemovedEventPayload) {
            ConfigurationValueRemovedEventPayload payload = (ConfigurationValueRemovedEventPayload) event.getPayload();
            line.put("id", payload.getConfigurationId());
            line.put("old", payload.getOldValue());
        }
        return line;
    }

    /** Until the last one comes, by the marker of the one before. */
    void hear(String last) throws Exception {
        long end = System.currentTimeMillis() + 20_000;
        List<Event> heard = new ArrayList<>();
        while (System.currentTimeMillis() < end) {
            String marker = heard.isEmpty() ? null : heard.get(heard.size() - 1).getId();
            Iterator<Event> more = events.list(new MethodOptions(3, marker));
            while (more.hasNext()) {
                Event event = more.next();
                if (!event.getId().equals(marker)) heard.add(event);
            }
            if (!heard.isEmpty() && heard.get(heard.size() - 1).getType().toString().equals(last)) break;
            Thread.sleep(200);
        }
        for (Event event : heard) tell("event", "event", told(event));
    }

    public static void main(String[] args) throws Exception {
        Drive drive = new Drive(args[0], args[1], args[2]);
        drive.authenticate();
        drive.stale();
        drive.configure();
        drive.serve();
        drive.hear("service.timeout");
        // The thread that tells listeners does not end by itself.
        System.exit(0);
    }
}
