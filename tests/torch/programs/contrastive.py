# Contrastive and self-supervised losses: siamese, triplet, NT-Xent, CLIP, SupCon, BYOL, Barlow twins, VICReg, MoCo, SwAV, DINO.
import copy

import torch
import torch.nn as nn
import torch.nn.functional as F

from reproducible import fill, integers, normal, slopes, tell

n, d = 8, 6
encoder = fill(nn.Sequential(nn.Linear(10, 16), nn.BatchNorm1d(16), nn.ReLU(inplace=True), nn.Linear(16, d, bias=False)), 1)
x1, x2, labels = normal(n, 10, seed=2), normal(n, 10, seed=3), integers(3, n, seed=4)


class ContrastiveLoss(nn.Module):
    def __init__(self, margin=2.0):
        super(ContrastiveLoss, self).__init__()
        self.margin = margin

    def forward(self, output1, output2, label):
        d = F.pairwise_distance(output1, output2, keepdim=True)
        return torch.mean((1 - label) * torch.pow(d, 2) + label * torch.pow(torch.clamp(self.margin - d, min=0.0), 2))


def nt_xent(z1, z2, t=0.5):
    z = F.normalize(torch.cat([z1, z2], dim=0), dim=1)
    sim = z @ z.t() / t
    sim.masked_fill_(torch.eye(2 * len(z1), dtype=torch.bool), -9e15)
    pos = torch.arange(2 * len(z1)).roll(shifts=len(z1), dims=0)
    nll = -sim[torch.arange(2 * len(z1)), pos] + torch.logsumexp(sim, dim=-1)
    comb = torch.cat([sim[torch.arange(2 * len(z1)), pos][:, None], sim.masked_fill(F.one_hot(pos, 2 * len(z1)).bool(), -9e15)], dim=-1)
    rank = comb.argsort(dim=-1, descending=True).argmin(dim=-1)
    print("top1", (rank == 0).float().mean().item(), "mean rank", 1 + rank.float().mean().item())
    return nll.mean()


def info_nce(z1, z2, t=0.1):
    logits = F.cosine_similarity(z1.unsqueeze(1), z2.unsqueeze(0), dim=2) / t
    return F.cross_entropy(logits, torch.arange(len(z1)))


def clip_loss(z1, z2, logit_scale=torch.nn.Parameter(torch.ones([]) * 2.6592)):
    a, b = z1 / z1.norm(dim=-1, keepdim=True), z2 / z2.norm(dim=-1, keepdim=True)
    logits = logit_scale.exp().clamp(max=100) * a @ b.t()
    target = torch.arange(len(a))
    return (F.cross_entropy(logits, target) + F.cross_entropy(logits.t(), target)) / 2


def siglip(z1, z2):
    logits = F.normalize(z1) @ F.normalize(z2).mT * 10 - 10
    return -F.logsigmoid((2 * torch.eye(len(z1)) - torch.ones(len(z1))) * logits).sum() / len(z1)


def supcon(z1, z2):
    z, y = F.normalize(torch.cat((z1, z2)), p=2.0, dim=-1), labels.repeat(2).contiguous().view(-1, 1)
    mask = torch.eq(y, y.T).float()
    logits = torch.div(torch.matmul(z, z.T), 0.07)
    logits = logits - torch.max(logits, dim=1, keepdim=True)[0].detach()
    self_mask = torch.scatter(torch.ones_like(mask), 1, torch.arange(len(z)).view(-1, 1), 0)
    mask = mask * self_mask
    log_prob = logits - torch.log((torch.exp(logits) * self_mask).sum(1, keepdim=True))
    return -((mask * log_prob).sum(1) / mask.sum(1)).mean()


def off_diagonal(x):
    n, m = x.shape
    return x.flatten()[:-1].view(n - 1, n + 1)[:, 1:].flatten()


def barlow(z1, z2):
    bn = nn.BatchNorm1d(d, affine=False)
    c = bn(z1).T @ bn(z2)
    c.div_(n)
    return torch.diagonal(c).add_(-1).pow_(2).sum() + 0.005 * off_diagonal(c).pow_(2).sum()


def vicreg(z1, z2):
    std = [F.relu(1 - torch.sqrt(z.var(dim=0) + 1e-4)).mean() for z in (z1, z2)]
    cov = [off_diagonal(torch.cov(z.T)).pow_(2).sum().div(d) for z in (z1, z2)]
    return 25 * F.mse_loss(z1, z2) + 25 * sum(std) / 2 + sum(cov)


def byol(z1, z2):
    return (2 - 2 * (F.normalize(z1, dim=-1, p=2) * F.normalize(z2.detach(), dim=-1)).sum(dim=-1)).mean()


def simsiam(z1, z2):
    criterion = nn.CosineSimilarity(dim=1)
    return -(criterion(z1, z2.detach()).mean() + criterion(z2, z1.detach()).mean()) * 0.5


def alignment_uniformity(z1, z2):
    z1, z2 = F.normalize(z1), F.normalize(z2)
    return (z1 - z2).norm(dim=1).pow(2).mean() + torch.stack([(z1[i] - z1[j]).pow(2).sum() for i in range(n) for j in range(i)]).mul(-2).exp().mean().log()


def hard_triplets(z1, z2):
    dist = (z1[:, None] - z1[None]).square().sum(-1).clamp_min(1e-12).sqrt()
    same = labels[:, None] == labels[None]
    hardest = torch.where(same, dist, float("-inf")).max(1).values
    nearest = dist.masked_fill(same, float("inf")).amin(dim=1)
    return F.relu(hardest - nearest + 0.3).mean() + F.triplet_margin_loss(z1, z2, z2.roll(1, 0), margin=1.0, p=2, swap=True)


def distances(z1, z2):
    own = nn.TripletMarginWithDistanceLoss(distance_function=lambda a, b: 1.0 - F.cosine_similarity(a, b), margin=0.5, swap=True)
    return own(z1, z2, z2.flip(0)) + nn.CosineEmbeddingLoss(margin=0.1)(z1, z2, torch.sign(labels - 0.5)) + F.margin_ranking_loss(z1[:, 0], z2[:, 0], torch.ones(n), margin=0.2) + F.hinge_embedding_loss(z1.norm(dim=1), torch.where(labels > 0, 1, -1))


@torch.no_grad()
def sinkhorn(out, eps=0.5, iterations=3):
    Q = torch.exp(out / eps).t()
    Q /= torch.sum(Q)
    for it in range(iterations):
        Q /= torch.sum(Q, dim=1, keepdim=True)
        Q /= Q.shape[0]
        Q /= torch.sum(Q, dim=0, keepdim=True)
        Q /= Q.shape[1]
    Q *= Q.shape[1]
    return Q.t()


prototypes = fill(nn.Linear(d, 5, bias=False), 7)


def swav(z1, z2):
    with torch.no_grad():
        w = prototypes.weight.data.clone()
        prototypes.weight.copy_(F.normalize(w, dim=1, p=2))
    s1, s2 = prototypes(F.normalize(z1)), prototypes(F.normalize(z2))
    return -0.5 * (torch.sum(sinkhorn(s1) * F.log_softmax(s2 / 0.1, dim=1), dim=1) + torch.sum(sinkhorn(s2) * F.log_softmax(s1 / 0.1, 1), 1)).mean()


def dino(z1, z2):
    center = z2.detach().mean(0, keepdim=True)
    return torch.sum(-F.softmax((z2 - center) / 0.04, dim=-1).detach() * F.log_softmax(z1 / 0.1, dim=-1), dim=-1).mean()


def arcface(z1, z2):
    W = F.normalize(prototypes.weight[:3])
    cosine = F.linear(F.normalize(z1), W).clamp(-1 + 1e-7, 1 - 1e-7)
    theta = torch.acos(cosine)
    logits = torch.where(F.one_hot(labels, 3).bool(), torch.cos(theta + 0.5), cosine) * 8
    return F.cross_entropy(logits, labels)


label = (labels > 0).float()[:, None]
for loss_fn in (lambda a, b: ContrastiveLoss()(a, b, label), nt_xent, info_nce, clip_loss, siglip, supcon, barlow, vicreg, byol, simsiam, alignment_uniformity, hard_triplets, distances, swav, dino, arcface):
    encoder.zero_grad(), prototypes.zero_grad()
    x1_ = x1.clone().requires_grad_()
    loss = loss_fn(encoder(x1_), encoder(x2))
    (g,) = torch.autograd.grad(loss, x1_, create_graph=True)
    (loss + 0.1 * g.pow(2).sum()).backward()
    print(f"{loss_fn.__name__ if loss_fn.__name__ != '<lambda>' else 'contrastive':<20} {loss.item():.5f} {g.norm().item():.4f} {slopes(encoder):.3f}")

# momentum encoder and queue
key = copy.deepcopy(encoder)
for p in key.parameters():
    p.requires_grad_(False)
queue, ptr = F.normalize(normal(d, 16, seed=8), dim=0), torch.zeros(1, dtype=torch.long)
optimizer = torch.optim.SGD(encoder.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
for step in range(4):
    q = F.normalize(encoder(normal(n, 10, seed=20 + step)), dim=1)
    with torch.no_grad():
        for pq, pk in zip(encoder.parameters(), key.parameters()):
            pk.data = pk.data * 0.9 + pq.data * (1.0 - 0.9)
        shuffle = torch.tensor([3, 1, 0, 2, 7, 6, 5, 4])
        k = F.normalize(key(normal(n, 10, seed=30 + step)[shuffle]), dim=1)[torch.argsort(shuffle)]
    l_pos = torch.einsum("nc,nc->n", [q, k]).unsqueeze(-1)
    l_neg = torch.einsum("nc,ck->nk", [q, queue.clone().detach()])
    logits = torch.cat([l_pos, l_neg], dim=1) / 0.2
    loss = nn.CrossEntropyLoss()(logits, torch.zeros(logits.shape[0], dtype=torch.long))
    optimizer.zero_grad(), loss.backward(), optimizer.step()
    at = int(ptr)
    queue[:, at : at + n] = k.T
    ptr[0] = (at + n) % 16
    acc = (logits.topk(3, 1, True, True)[1].t().eq(0)).reshape(-1).float().sum(0, keepdim=True).mul_(100.0 / n)
    print(f"MoCo {loss.item():.4f} {acc.item():.1f}")
tell("queue", queue)
