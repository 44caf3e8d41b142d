/** A person's connection to Doran: log in, hear, say, and never lose or double a message. */

import { Ai } from "./ai.ts";
import { type Thread, Conversations } from "./conversations.ts";
import { Emitter } from "./emitter.ts";
import { Blocks } from "./blocks.ts";
import { Drafts } from "./drafts.ts";
import { DoranError } from "./errors.ts";
import type {
  Ack,
  ChangesAnswer,
  Consent,
  Conversation,
  DeleteScope,
  Job,
  MarkMoved,
  Message,
  MyState,
  PresenceShown,
  ProfileChange,
  Ready,
  SendBody,
  ServerFrame,
  StateChange,
  SyncAnswer,
  TypingShown,
  User,
} from "./frames.ts";
import { uuidv7 } from "./ids.ts";
import { Outbox } from "./outbox.ts";
import { People } from "./people.ts";
import { Rest } from "./rest.ts";
import { Session } from "./session.ts";
import { Socket, type Status, type WebSocketLike } from "./socket.ts";
import type { Storage, Waiting, Writing } from "./storage.ts";
import { type Channel, Tabs } from "./tabs.ts";
import { TypingNotice } from "./typing.ts";

export interface ClientOptions {
  readonly storage: Storage;
  /** Where the server is, without a trailing slash. Default: where the page came from. */
  readonly baseUrl?: string;
  readonly fetch?: typeof fetch;
  readonly open?: (url: string) => WebSocketLike;
  readonly channel?: Channel | null;
  readonly random?: () => number;
}

export interface ClientEvents {
  /** Logged in, or (null) out; `reason` says why it ended. */
  session: { readonly userId: string | null; readonly reason: string };
  status: Status;
  /** The first sync after connecting is complete. */
  synced: { readonly epoch: string };
  /** Something in the list of conversations changed. */
  conversations: { readonly ids: readonly string[] };
  /** Something in one conversation changed: messages, marks, state, typing, or what waits. */
  conversation: { readonly id: string };
  /** What is being written in one conversation changed; at every key. */
  draft: { readonly id: string };
  /** A new message of the other person, heard live. */
  message: { readonly conversationId: string; readonly message: Message };
  /** A message was refused for good; it stays in `waiting` until retried or discarded. */
  refused: Waiting;
  /** Somebody's name or presence became known or changed. */
  person: { readonly userId: string };
  /** I block others than before. */
  blocks: Readonly<Record<string, never>>;
  /** Other things can be asked of the AI now. */
  offer: { readonly kinds: readonly string[] };
  /** A job of mine has another state, or more text. */
  job: { readonly job: Job };
  /** One of the two people changed what the AI may do in a conversation. */
  consent: { readonly consent: Consent };
}

export interface Presence {
  readonly online: boolean;
  readonly lastSeenAt: string | null;
}

const SEQ_GAP_MS = 200;
const CHANGE_GAP_MS = 4_000;
const RETRY_MS = 1_500;
const MARK_MS = 50;
/** How soon a draft of another tab is in the list. */
const DRAFT_SHOWN_MS = 300;
/** So long a log-out waits for drafts to be saved. */
const LAST_SAVE_MS = 1_000;
const TYPING_SHOWN_MS = 12_000;
const PRESENCE_AT_ONCE = 100;
/** How many people are asked for again after a reconnect. */
const REFRESHED = 20;

export class DoranClient extends Emitter<ClientEvents> {
  readonly rest: Rest;
  readonly people: People;
  readonly blocks: Blocks;
  readonly ai: Ai;
  readonly #session: Session;
  readonly #socket: Socket;
  readonly #tabs: Tabs;
  readonly #outbox: Outbox;
  readonly #drafts: Drafts;
  readonly #typing: TypingNotice;
  readonly #storage: Storage;
  readonly #conversations = new Conversations();
  readonly #presence = new Map<string, Presence>();
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();
  /** Marks said on this socket, and conversations whose changes are being asked for. */
  readonly #claims = new Set<string>();
  readonly #asking = new Set<string>();
  #epoch: string | null = null;
  #stateSeq = 0;
  #synced = false;
  /** There was a connection before this one: what was said meanwhile about people was not heard. */
  #hasSynced = false;
  #stopListening: (() => void) | null = null;

  constructor(options: ClientOptions) {
    super();
    const baseUrl = options.baseUrl ?? "";
    const fetchIt = options.fetch ?? ((input, init) => fetch(input, init));
    this.#storage = options.storage;
    this.#tabs = new Tabs(options.channel === undefined ? browserChannel() : options.channel);
    this.#session = new Session({
      baseUrl,
      storage: options.storage,
      fetch: fetchIt,
      tabs: this.#tabs,
      onEnded: (reason) => this.#ended(reason),
      onReplaced: (before) => this.#replaced(before !== null),
    });
    const token = (rejected?: string) => this.#session.token(rejected);
    this.rest = new Rest({ baseUrl, fetch: fetchIt, token, identity: () => this.sessionId });
    this.people = new People((id) => this.rest.user(id), (userId) => this.emit("person", { userId }));
    this.blocks = new Blocks(this.rest, () => this.emit("blocks", {}));
    this.ai = new Ai({
      rest: this.rest,
      onOffer: () => this.emit("offer", { kinds: this.ai.offer.kinds }),
      onJob: (job) => this.emit("job", { job }),
      onConsent: (consent) => this.emit("consent", { consent }),
    });
    this.#socket = new Socket({
      url: socketUrl(baseUrl),
      token,
      tokenStaleAt: () => this.#session.staleAt,
      open: options.open ?? ((url) => new WebSocket(url)),
      ...(options.random ? { random: options.random } : {}),
    });
    this.#drafts = new Drafts({
      storage: options.storage,
      tabs: this.#tabs,
      save: async (id, text) => this.#meet(await this.rest.keepDraft(id, text)),
      saved: (id) => this.#conversations.get(id)?.me.draft,
      onSaved: (id, text) => this.#conversations.get(id)?.presume({ draft: text }),
      onChanged: (id) => this.#draftChanged(id),
    });
    this.#outbox = new Outbox({
      storage: options.storage,
      tabs: this.#tabs,
      online: () => this.#socket.online,
      send: (id, body) => this.#sendOnce(id, body),
      onAccepted: (message) => this.#hearMessage(message),
      onChanged: (id) => this.#waitingChanged(id),
      onRefused: (entry) => this.emit("refused", entry),
    });
    this.#typing = new TypingNotice((conversationId, isTyping) => {
      this.#socket.say({ type: "typing", conversation_id: conversationId, is_typing: isTyping });
    });
    this.#socket.on("status", (status) => this.#statusChanged(status));
    this.#socket.on("ready", (frame) => void this.#ready(frame));
    this.#socket.on("frame", (frame) => this.#hear(frame));
  }

  // -- who I am

  get userId(): string | null {
    return this.#session.userId;
  }

  get sessionId(): string | null {
    return this.#session.sessionId;
  }

  get status(): Status {
    return this.#socket.status;
  }

  /** The list on the screen is what the server has. */
  get synced(): boolean {
    return this.#synced;
  }

  /** Take up the session this browser has kept; false if one has to log in, here or in another tab. */
  async restore(): Promise<boolean> {
    this.#listen();
    if (!(await this.#session.restore())) return false;
    this.#begin();
    return true;
  }

  async signUp(body: { username: string; password: string; display_name?: string; invite_code?: string }): Promise<User> {
    return this.rest.signUp(body);
  }

  async logIn(username: string, password: string, deviceName?: string): Promise<void> {
    const answer = await this.rest.logIn({ username, password, ...(deviceName ? { device_name: deviceName } : {}) });
    if (this.userId) this.#ended("logged_in_elsewhere");
    await this.#session.begin(answer);
    this.#begin();
  }

  /** Ends the session here and on the server, and forgets everything, also what waits. */
  async logOut(): Promise<void> {
    const userId = this.userId;
    await Promise.race([this.#drafts.saveAll(), new Promise((wake) => setTimeout(wake, LAST_SAVE_MS))]);
    this.#leave();
    if (userId) await this.#storage.forgetAll(userId).catch(() => undefined);
    await this.#session.end();
    this.emit("session", { userId: null, reason: "logged_out" });
  }

  connect(): void {
    this.#socket.start();
  }

  /** Leave without logging out. */
  disconnect(): void {
    this.#stopListening?.();
    this.#stopListening = null;
    this.#leave();
    this.#tabs.close();
  }

  // -- conversations

  /** Pinned first (latest pin on top), then by newest activity. */
  get conversations(): Thread[] {
    return this.#conversations.all().sort(byPinAndActivity);
  }

  conversation(id: string): Thread | undefined {
    return this.#conversations.get(id);
  }

  /** My conversation with a person, made if there is none yet. */
  async openWith(userId: string): Promise<Thread> {
    const thread = this.#conversations.withPeer(userId);
    if (thread) return thread;
    const view = await this.rest.openConversation(userId);
    await this.#adopt(view.id);
    return this.#conversations.get(view.id)!;
  }

  /** One page further back. False when there is nothing older. */
  async loadOlder(id: string, pageSize = 50): Promise<boolean> {
    const thread = this.#conversations.get(id);
    if (!thread || thread.complete || thread.timeline.low === 0) return false;
    const { low } = thread.timeline;
    const page = await this.rest.messages(id, { beforeSeq: low, pageSize });
    if (thread.timeline.low !== low) return !thread.complete;
    thread.timeline.prepend(page.results);
    this.emit("conversation", { id });
    return !thread.complete;
  }

  async changeState(id: string, change: StateChange): Promise<void> {
    const thread = this.#conversations.get(id);
    if (!thread) return;
    const before = thread.me;
    thread.presume(presumption(change));
    this.#changed(id);
    try {
      this.#meet(await this.rest.changeState(id, change));
    } catch (error) {
      thread.presume(before);
      this.#changed(id);
      throw error;
    }
  }

  // -- messages

  /** Show, keep and send. Returns the id under which it is known until the server has answered, and after. */
  send(conversationId: string, content: string, { replyTo = null }: { replyTo?: string | null } = {}): string {
    const entry: Waiting = {
      clientMessageId: uuidv7(),
      userId: this.#requireUser(),
      conversationId,
      content,
      messageType: "text",
      replyTo,
      createdAt: Date.now(),
      problem: null,
    };
    this.#typing.sent(conversationId);
    this.#outbox.add(entry);
    this.#drafts.write(conversationId, { text: "", replyTo: null });
    void this.#drafts.save(conversationId);
    return entry.clientMessageId;
  }

  /** What is being written now; call it at every key. It is kept at once, and shown where this person is, too. */
  write(conversationId: string, change: Partial<Writing>): void {
    this.#drafts.write(conversationId, change);
  }

  /** The writer has gone on to something else. */
  saveDraft(conversationId: string): void {
    void this.#drafts.save(conversationId);
  }

  retry(clientMessageId: string): void {
    this.#outbox.retry(clientMessageId);
  }

  /** Put a refused message back into the box, after what stands there. */
  takeBack(clientMessageId: string): void {
    const entry = this.#outbox.get(clientMessageId);
    if (!entry || this.#outbox.isSending(clientMessageId)) return;
    this.writeMore(entry.conversationId, entry.content);
    if (entry.replyTo && entry.problem !== "message_deleted") this.#drafts.write(entry.conversationId, { replyTo: entry.replyTo });
    this.#outbox.discard(clientMessageId);
  }

  /** Put a text into the box, after what stands there. */
  writeMore(conversationId: string, text: string): void {
    const before = this.#conversations.get(conversationId)?.draft ?? "";
    this.#drafts.write(conversationId, { text: before.trim() ? `${before.trimEnd()}\n${text}` : text });
  }

  /** Send a refused answer as a message of its own. */
  retryWithoutQuote(clientMessageId: string): void {
    this.#outbox.retry(clientMessageId, { replyTo: null });
  }

  discard(clientMessageId: string): void {
    this.#outbox.discard(clientMessageId);
  }

  /** On the way over the wire right now (as opposed to waiting for a connection). */
  isSending(clientMessageId: string): boolean {
    return this.#outbox.isSending(clientMessageId);
  }

  /** How many messages have no answer yet. */
  get waitingCount(): number {
    return this.#outbox.size;
  }

  async edit({ id }: Pick<Message, "id">, content: string): Promise<void> {
    this.#hearMessage(await this.rest.edit(id, content));
  }

  async delete(message: Message, scope: DeleteScope): Promise<void> {
    const tombstone = await this.rest.delete(message.id, scope);
    this.#hearMessage(tombstone?.id ? tombstone : { ...message, content: "", is_deleted: true, ...(scope === "me" ? { hidden: true } : {}) });
  }

  /** Everything up to here is on a screen that somebody looks at. */
  markRead(conversationId: string, upToSeq: number): void {
    const thread = this.#conversations.get(conversationId);
    if (!thread || upToSeq <= thread.readUpTo) return;
    thread.claimed.read = upToSeq;
    this.#claimSoon(thread);
    this.#changed(conversationId);
  }

  /** The writer's hand moved (or rests, or left). Throttled; call it at every key. */
  typing(conversationId: string, isTyping = true): void {
    this.#typing.note(conversationId, isTyping);
  }

  /** Whether the other person is here; undefined where one may not know. */
  presence(conversationId: string): Presence | undefined {
    const thread = this.#conversations.get(conversationId);
    return thread?.isActive ? this.#presence.get(thread.peerId) : undefined;
  }

  /** The machine woke up or the network came back. */
  check(): void {
    void this.#session.look();
    this.#socket.check();
  }

  // -- people

  async changeProfile(change: ProfileChange): Promise<User> {
    const user = await this.rest.changeProfile(change);
    this.people.learn(user);
    return user;
  }

  // -- coming and going

  #begin(): void {
    const userId = this.#requireUser();
    this.emit("session", { userId, reason: "" });
    void this.#outbox.load(userId).then(() => this.#outbox.flush());
    void this.#drafts.load(userId);
    this.#listen();
    this.connect();
  }

  #listen(): void {
    this.#stopListening ??= listenToTheMachine(() => this.check(), () => void this.#drafts.saveAll());
  }

  /** Another tab has logged in: nothing of who was here before goes on. */
  #replaced(wasLoggedIn: boolean): void {
    if (wasLoggedIn) this.#ended("logged_in_elsewhere");
    this.#begin();
  }

  #ended(reason: string): void {
    this.#leave();
    this.emit("session", { userId: null, reason });
  }

  #leave(): void {
    this.#socket.stop();
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#typing.forget();
    this.#outbox.clear();
    this.#drafts.clear();
    this.#forgetStore();
    this.people.clear();
    this.blocks.clear();
    this.ai.forget();
    this.#presence.clear();
    this.#epoch = null;
    this.#hasSynced = false;
  }

  #statusChanged(status: Status): void {
    if (status.connection !== "online") this.#lostTouch();
    this.emit("status", status);
  }

  /** What only a live socket can tell is no longer known. */
  #lostTouch(): void {
    this.#synced = false;
    this.people.doubt();
    this.#claims.clear();
    this.#presence.clear();
    for (const thread of this.#conversations.all()) {
      thread.peerIsTyping = false;
      this.#forgetTimer(`typing ${thread.id}`);
      this.#forgetTimer(`gap ${thread.id}`);
    }
  }

  async #ready(frame: Ready): Promise<void> {
    if (this.#epoch !== null && this.#epoch !== frame.epoch) this.#forgetStore();
    this.#epoch = frame.epoch;
    void this.#outbox.load(frame.user_id).then(() => this.#outbox.flush());
    try {
      await this.#sync();
    } catch {
      if (this.#socket.online) this.#setTimer("sync", RETRY_MS, () => void this.#ready(frame));
    }
  }

  // -- catching up

  /** Ask what differs: part by part, where more conversations are known than one question has room for. */
  async #sync(): Promise<void> {
    const since = this.#stateSeq;
    let [after, reached] = ["", Number.POSITIVE_INFINITY];
    do {
      const part = await this.#syncPart(after, since);
      after = part.until;
      reached = Math.min(reached, part.state);
    } while (after);
    this.#stateSeq = reached;
    if (this.#hasSynced) this.#refreshPeople();
    this.#synced = this.#hasSynced = true;
    this.emit("synced", { epoch: this.#epoch ?? "" });
    this.#watchPresence(this.#conversations.all().map(({ peerId }) => peerId));
    for (const thread of this.#conversations.all()) this.#afterChange(thread);
    void this.#drafts.reconcile();
    void this.#readBlocks();
    void this.ai.begin();
  }

  /** Page after page, until nothing differs. Returns where the part ends ("": everything was asked for) and up to which state it is whole. */
  async #syncPart(from: string, since: number): Promise<{ until: string; state: number }> {
    for (let [after, state] = [from, since]; ; ) {
      const { known, until } = this.#conversations.known(after);
      const answer = await this.#socket.ask<SyncAnswer>({
        type: "sync",
        known,
        state_since: state,
        ...(after && { after }),
        ...(until && { until }),
        ...(this.#epoch ? { epoch: this.#epoch } : {}),
      });
      const done = !this.#apply(answer) || !answer.has_more;
      state = answer.state_seq;
      const anew = answer.reset && (after || until);
      if (anew) after = "";
      else if (done) return { until, state };
    }
  }

  /** False if the answer brought nothing, so that asking again would bring nothing either. */
  #apply(answer: SyncAnswer): boolean {
    if (answer.reset) this.#forgetStore();
    this.#epoch = answer.epoch;
    for (const line of answer.conversations) {
      this.#ask(line.id, this.#conversations.takeOver(line));
      this.#settleSent(line.changes.results ?? []);
      this.#refreshWaiting(line.id);
    }
    this.#announce(answer.conversations.map(({ id }) => id));
    return answer.conversations.length > 0;
  }

  #ask(id: string, what: "nothing" | "more changes" | "all anew"): void {
    if (what === "more changes") void this.#askChanges(id);
    if (what === "all anew") void this.#adopt(id, true).catch(() => undefined);
  }

  /** Read on from the mark until the conversation is whole. */
  async #askChanges(id: string): Promise<void> {
    if (this.#asking.has(id)) return;
    this.#asking.add(id);
    try {
      while (await this.#askOnePage(id));
    } catch {
      if (this.#socket.online) this.#setTimer(`gap ${id}`, RETRY_MS, () => void this.#askChanges(id));
    } finally {
      this.#asking.delete(id);
    }
  }

  async #askOnePage(id: string): Promise<boolean> {
    const thread = this.#conversations.get(id);
    if (!thread) return false;
    const answer = await this.#socket.ask<ChangesAnswer>({
      type: "changes",
      conversation_id: id,
      since: thread.timeline.mark,
      ...(this.#epoch ? { epoch: this.#epoch } : {}),
    });
    if (answer.reset) {
      await this.#adopt(id, true);
      return false;
    }
    thread.fruitless = answer.results?.length ? 0 : thread.fruitless + 1;
    thread.timeline.catchUp(answer);
    this.#settleSent(answer.results ?? []);
    this.#afterChange(thread);
    this.#changed(id);
    return answer.has_more === true;
  }

  /** Read a conversation as a whole: one we have never seen, or one whose mark the server does not know. */
  async #adopt(id: string, anew = false): Promise<void> {
    const view = await this.rest.conversation(id);
    const isNew = this.#conversations.meet(view);
    const thread = this.#conversations.get(id)!;
    if (isNew || anew || thread.timeline.low === 0) thread.timeline.begin(view.messages ?? [], { lastSeq: view.last_seq, mark: view.change_seq });
    this.#refreshWaiting(id);
    if (isNew) this.#watchPresence([thread.peerId]);
    this.#afterChange(thread);
    this.#announce([id]);
  }

  #forgetStore(): void {
    this.#conversations.clear();
    this.#stateSeq = 0;
    this.#synced = false;
    this.emit("conversations", { ids: [] });
  }

  // -- hearing

  #hear(frame: ServerFrame): void {
    switch (frame.type) {
      case "chat_message":
        return this.#hearLive(frame.message);
      case "message_updated":
      case "message_deleted":
      case "ack":
        return this.#hearMessage(frame.message);
      case "message_delivered":
      case "message_read":
        return this.#hearMark(frame);
      case "typing":
        return this.#hearTyping(frame);
      case "presence":
        return this.#hearPresence(frame);
      case "user_updated":
        return this.people.hear(frame.user_id, frame.profile);
      case "conversation_created":
      case "conversation_updated":
        return this.#meet(frame.conversation);
      case "ai.delta":
      case "ai.job":
      case "ai.consent":
      case "ai.offer":
        return this.ai.hear(frame);
    }
  }

  #hearLive(message: Message): void {
    this.#hearMessage(message);
    if (message.sender_id === this.userId) return;
    this.people.reassure(message.sender_id);
    this.#showTyping(message.conversation_id, false);
    this.emit("message", { conversationId: message.conversation_id, message });
  }

  #hearMessage(message: Message): void {
    const id = message.conversation_id;
    this.#settleSent([message]);
    const thread = this.#conversations.get(id);
    if (!thread) return void this.#adopt(id).catch(() => undefined);
    thread.timeline.hear(message);
    if (message.sender_id === this.userId) thread.moveMark(message.sender_id, "read", message.seq);
    this.#afterChange(thread);
    this.#announce([id]);
  }

  #hearMark(frame: MarkMoved): void {
    const thread = this.#conversations.get(frame.conversation_id);
    if (!thread) return;
    thread.moveMark(frame.user_id, frame.type === "message_read" ? "read" : "delivered", frame.up_to_seq);
    this.#changed(thread.id);
  }

  #hearTyping(frame: TypingShown): void {
    if (frame.user_id !== this.userId) this.#showTyping(frame.conversation_id, frame.is_typing);
  }

  #showTyping(id: string, isTyping: boolean): void {
    const thread = this.#conversations.get(id);
    this.#forgetTimer(`typing ${id}`);
    if (isTyping) this.#setTimer(`typing ${id}`, TYPING_SHOWN_MS, () => this.#showTyping(id, false));
    if (!thread || thread.peerIsTyping === isTyping) return;
    thread.peerIsTyping = isTyping;
    this.#changed(id);
  }

  #hearPresence(frame: PresenceShown): void {
    this.#presence.set(frame.user_id, { online: frame.online, lastSeenAt: frame.last_seen_at });
    this.emit("person", { userId: frame.user_id });
  }

  #meet(view: Conversation): void {
    const known = this.#conversations.get(view.id);
    const wasActive = known?.isActive ?? false;
    this.#conversations.meet(view);
    const thread = this.#conversations.get(view.id)!;
    this.#refreshWaiting(view.id);
    if (thread.isActive && !wasActive) this.#watchPresence([thread.peerId]);
    if (known && thread.isActive !== wasActive) this.#reconsider(thread);
    if (thread.timeline.low === 0) this.#beginOrAsk(thread, view);
    this.#afterChange(thread);
    this.#announce([view.id]);
  }

  /** One of us blocks the other, or is gone, or neither any more. */
  #reconsider({ peerId }: Thread): void {
    this.people.refresh(peerId);
    void this.#readBlocks();
  }

  /** Not knowing is harmless: the server refuses what it must, and the next connection asks again. */
  async #readBlocks(): Promise<void> {
    await this.blocks.read().catch(() => undefined);
  }

  /** A conversation that nothing was said in needs no question. */
  #beginOrAsk(thread: Thread, view: Conversation): void {
    if (view.last_seq === 0) thread.timeline.begin([], { lastSeq: 0, mark: view.change_seq });
    else void this.#adopt(thread.id).catch(() => undefined);
  }

  // -- after a change: holes and marks

  #afterChange(thread: Thread): void {
    if (!this.#synced) return;
    this.#mendGap(thread);
    if (thread.timeline.high > Math.max(thread.me.last_delivered_seq, thread.claimed.delivered)) {
      thread.claimed.delivered = thread.timeline.high;
      this.#claimSoon(thread);
    } else if (thread.claimed.read > thread.me.last_read_seq || thread.claimed.delivered > thread.me.last_delivered_seq) {
      this.#claimSoon(thread);
    }
  }

  /**
   * Frames may overtake each other for a moment; what is still missing then is asked for. A missing message at once;
   * a missing change number can wait, for marks that moved count too and have been heard as such.
   */
  #mendGap(thread: Thread): void {
    const { timeline } = thread;
    const hole = timeline.low > 0 && timeline.high < thread.lastSeq;
    const key = `gap ${thread.id}`;
    if (!hole && !timeline.gap) return this.#forgetTimer(key);
    const patience = hole ? Math.min(SEQ_GAP_MS * 2 ** thread.fruitless, CHANGE_GAP_MS * 8) : CHANGE_GAP_MS;
    if (!this.#timers.has(key)) this.#setTimer(key, patience, () => void this.#askChanges(thread.id));
  }

  /** Marks are cumulative, so those of a moment are said as one; each is said once per socket. */
  #claimSoon(thread: Thread): void {
    const key = `claim ${thread.id}`;
    if (!this.#timers.has(key)) this.#setTimer(key, MARK_MS, () => this.#claim(thread));
  }

  #claim(thread: Thread): void {
    const { claimed, me, id } = thread;
    const read = claimed.read > me.last_read_seq;
    const upTo = read ? claimed.read : claimed.delivered;
    if (read) this.#claimOnce(`read ${id} ${upTo}`, { type: "mark_as_read", conversation_id: id, up_to_seq: upTo });
    const known = Math.max(me.last_delivered_seq, claimed.read);
    if (claimed.delivered > known) {
      this.#claimOnce(`delivered ${id} ${claimed.delivered}`, { type: "mark_as_delivered", conversation_id: id, up_to_seq: claimed.delivered });
    }
  }

  #claimOnce(key: string, frame: { type: "mark_as_read" | "mark_as_delivered"; conversation_id: string; up_to_seq: number }): void {
    if (!this.#claims.has(key) && this.#socket.say(frame)) this.#claims.add(key);
  }

  // -- the outbox

  async #sendOnce(conversationId: string, body: SendBody): Promise<Message> {
    const ack = await this.#socket.ask<Ack>({ type: "chat_message", conversation_id: conversationId, ...body });
    return ack.message;
  }

  /** My own message seen on the server: its copy in the outbox has done its duty. */
  #settleSent(messages: readonly Message[]): void {
    for (const { sender_id, client_message_id } of messages) {
      if (client_message_id && sender_id === this.userId) this.#outbox.settle(client_message_id);
    }
  }

  #waitingChanged(id: string): void {
    this.#refreshWaiting(id);
    this.#changed(id);
  }

  /** The list hears of it a few times a second: whoever writes is not slowed down by drawing all of it at every key. */
  #draftChanged(id: string): void {
    this.#refreshWaiting(id);
    this.emit("draft", { id });
    if (!this.#timers.has(`draft ${id}`)) this.#setTimer(`draft ${id}`, DRAFT_SHOWN_MS, () => this.emit("conversations", { ids: [id] }));
  }

  /** What of this conversation is only in the browser. */
  #refreshWaiting(id: string): void {
    const thread = this.#conversations.get(id);
    if (!thread) return;
    thread.waiting = this.#outbox.of(id);
    thread.writing = this.#drafts.of(id);
  }

  // -- small things

  /** Those at the top of the list at once, others when they write or are looked at: a crowd of clients that comes back asks for no crowd of people. */
  #refreshPeople(): void {
    if (this.userId) this.people.reassure(this.userId);
    for (const { peerId } of this.conversations.slice(0, REFRESHED)) this.people.reassure(peerId);
  }

  #watchPresence(userIds: readonly string[]): void {
    for (let from = 0; from < userIds.length; from += PRESENCE_AT_ONCE) {
      this.#socket.say({ type: "presence", user_ids: userIds.slice(from, from + PRESENCE_AT_ONCE) });
    }
  }

  #changed(id: string): void {
    this.#announce([id]);
  }

  #announce(ids: readonly string[]): void {
    this.emit("conversations", { ids });
    for (const id of ids) this.emit("conversation", { id });
  }

  #requireUser(): string {
    if (!this.userId) throw new DoranError("not_authenticated", { status: 401 });
    return this.userId;
  }

  #setTimer(name: string, after: number, then: () => void): void {
    this.#forgetTimer(name);
    const run = () => {
      this.#timers.delete(name);
      then();
    };
    this.#timers.set(name, setTimeout(run, after));
  }

  #forgetTimer(name: string): void {
    clearTimeout(this.#timers.get(name));
    this.#timers.delete(name);
  }
}

function byPinAndActivity(a: Thread, b: Thread): number {
  return byText(b.me.pinned_at ?? "", a.me.pinned_at ?? "") || byText(b.updatedAt, a.updatedAt) || byText(a.id, b.id);
}

/** Moments and ids are ASCII: their order is that of no language, and asking for one costs far more. */
function byText(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** What the screen shows until the server's answer to a change of state. */
function presumption({ pinned, ...rest }: StateChange): Partial<MyState> {
  return pinned === undefined ? rest : { ...rest, pinned_at: pinned ? new Date().toISOString() : null };
}

function socketUrl(baseUrl: string): string {
  const url = new URL(`${baseUrl}/ws/`, globalThis.location?.href ?? "http://localhost");
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

function browserChannel(): Channel | null {
  return typeof BroadcastChannel === "undefined" ? null : new BroadcastChannel("doran");
}

/** Where there is a window: the network's return and the screen's waking are reasons to look, its going to keep what is there. */
function listenToTheMachine(look: () => void, keep: () => void): () => void {
  const target = globalThis.window;
  if (!target) return () => undefined;
  const shown = () => (document.visibilityState === "visible" ? look() : keep());
  target.addEventListener("online", look);
  target.addEventListener("offline", look);
  target.addEventListener("pagehide", keep);
  document.addEventListener("visibilitychange", shown);
  return () => {
    target.removeEventListener("online", look);
    target.removeEventListener("offline", look);
    target.removeEventListener("pagehide", keep);
    document.removeEventListener("visibilitychange", shown);
  };
}
